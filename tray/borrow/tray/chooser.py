"""Which role? A list that typing narrows; Enter, a button or a double click takes, Esc nothing."""

from __future__ import annotations

from functools import partial
from tkinter import Listbox, StringVar, font, ttk
from typing import TYPE_CHECKING, Any, Final

from borrow.tray.labels import role_table
from borrow.tray.paint import Paint, drawable
from borrow.tray.window import open_root, press

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from borrow.tray.looks import Looks

ROWS: Final = 12
NOBODY: Final = "you may borrow no role"


class Chooser:
    def __init__(self, roles: Sequence[Mapping[str, Any]], looks: Looks) -> None:
        self._root = open_root()
        self._root.title("Borrow: which role?")
        self._told = ""
        self._head, lines = role_table(roles)
        names = [str(each.get("name") or "") for each in roles]
        self._all = list(zip(names, lines, strict=True))
        self._found = self._all
        self._typed = StringVar(self._root)
        self._build(Paint(self._root, looks))

    def _build(self, paint: Paint) -> None:
        root, gap = self._root, paint.px(12)
        self._paint = paint
        paint.label(root, "Which role?", "Head.TLabel").pack(anchor="w", padx=gap, pady=(gap, 0))
        entry = ttk.Entry(root, textvariable=self._typed)
        entry.pack(fill="x", padx=gap, pady=gap)
        self._build_buttons(gap)
        ttk.Label(root, text=drawable(self._head), style="Faint.TLabel", font="TkFixedFont").pack(
            anchor="w", padx=gap + paint.px(7)
        )
        self._build_list(gap)
        self._typed.trace_add("write", lambda *_: self._narrow())
        root.bind("<Escape>", lambda event: root.destroy())
        root.bind("<Alt-n>", lambda event: root.destroy())
        root.bind("<Alt-c>", lambda event: self._take())
        entry.bind("<Return>", lambda event: self._take())
        for key, step in (("<Down>", 1), ("<Up>", -1), ("<Next>", ROWS), ("<Prior>", -ROWS)):
            entry.bind(key, partial(self._move, step))
        for key in ("<Return>", "<KP_Enter>"):
            root.bind_class("TButton", key, press)
        root.after_idle(entry.focus_set)
        self._narrow()

    def _build_buttons(self, gap: int) -> None:
        box = ttk.Frame(self._root)
        box.pack(side="bottom", fill="x", padx=gap, pady=gap)
        for text, act in (("Choose", self._take), ("Not now", self._root.destroy)):
            button = ttk.Button(box, text=text, underline=0, command=act)
            button.pack(side="right", padx=(self._paint.px(8), 0))
            button.lower()  # Tab goes as the eye does: from left to right

    def _build_list(self, gap: int) -> None:
        """As many rows and columns as the monitor has room for; the rest scrolls."""
        told, paint, root = self._paint.colours, self._paint, self._root
        fixed = font.nametofont("TkFixedFont", root)
        root.update_idletasks()
        room = (paint.most_high - root.winfo_reqheight() - gap) // (fixed.metrics("linespace") + 1)
        lines = [self._head, *(line for _, line in self._all)]
        box = ttk.Frame(root)
        box.pack(fill="both", expand=True, padx=gap)
        self._list = Listbox(
            box,
            height=max(2, min(ROWS, max(3, len(self._all)), room)),
            width=min(max(map(len, lines)) + 1, paint.width // fixed.measure("0")),
            font="TkFixedFont",
            background=told["field"],
            foreground=told["text"],
            selectbackground=told["focus"],
            selectforeground=told["field"],
            highlightthickness=0,
            borderwidth=paint.px(6),
            relief="flat",
            activestyle="none",
            takefocus=0,
        )
        bar = ttk.Scrollbar(box, command=self._list.yview, takefocus=0)
        self._list.configure(yscrollcommand=bar.set)
        self._list.pack(side="left", fill="both", expand=True)
        if len(self._all) > self._list.cget("height"):
            bar.pack(side="right", fill="y")
        self._list.bind("<Double-Button-1>", lambda event: self._take())

    def _narrow(self) -> None:
        wanted = self._typed.get().lower().split()
        self._found = [
            each for each in self._all if all(word in each[1].lower() for word in wanted)
        ]
        self._list.delete(0, "end")
        for _, told in self._found or [("", NOBODY)]:
            self._list.insert("end", drawable(told))
        if self._found:
            self._list.selection_set(0)

    def _move(self, step: int, event: object) -> None:
        chosen = self._chosen()
        place = min(len(self._found) - 1, max(0, (chosen[0] if chosen else 0) + step))
        self._list.selection_clear(0, "end")
        self._list.selection_set(place)
        self._list.see(place)

    def _take(self) -> None:
        chosen = self._chosen()
        if chosen and self._found:
            self._told = self._found[chosen[0]][0]
            self._root.destroy()

    def _chosen(self) -> tuple[int, ...]:
        return tuple(self._list.curselection())  # type: ignore[no-untyped-call]  # a stub's gap

    def run(self) -> str:
        self._paint.appear()
        self._root.mainloop()
        return self._told
