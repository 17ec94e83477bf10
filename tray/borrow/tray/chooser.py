"""Which role? A list that typing narrows; Enter or a double click takes, Esc takes nothing."""

from __future__ import annotations

from functools import partial
from tkinter import Listbox, StringVar, ttk
from typing import TYPE_CHECKING, Any, Final

from borrow.tray.labels import role_line
from borrow.tray.paint import Paint, drawable
from borrow.tray.window import open_root

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
        self._all = [(str(each.get("name") or ""), role_line(each)) for each in roles]
        self._found = self._all
        self._typed = StringVar(self._root)
        self._build(Paint(self._root, looks))

    def _build(self, paint: Paint) -> None:
        root, told, gap = self._root, paint.colours, paint.px(12)
        paint.label(root, "Which role?", "Head.TLabel").pack(anchor="w", padx=gap, pady=(gap, 0))
        entry = ttk.Entry(root, textvariable=self._typed)
        entry.pack(fill="x", padx=gap, pady=gap)
        ttk.Button(root, text="Not now", underline=0, command=root.destroy).pack(
            side="bottom", anchor="e", padx=gap, pady=gap
        )
        self._list = Listbox(
            root,
            height=min(ROWS, max(3, len(self._all))),
            width=52,
            font="TkFixedFont",
            background=told["field"],
            foreground=told["text"],
            selectbackground=told["focus"],
            selectforeground=told["field"],
            highlightthickness=0,
            activestyle="none",
            takefocus=0,
        )
        self._list.pack(fill="both", expand=True, padx=gap)
        self._typed.trace_add("write", lambda *_: self._narrow())
        root.bind("<Escape>", lambda event: root.destroy())
        root.bind("<Alt-n>", lambda event: root.destroy())
        entry.bind("<Return>", lambda event: self._take())
        for key, step in (("<Down>", 1), ("<Up>", -1)):
            entry.bind(key, partial(self._move, step))
        self._list.bind("<Double-Button-1>", lambda event: self._take())
        root.after_idle(entry.focus_set)
        self._narrow()

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
        self._root.deiconify()
        self._root.mainloop()
        return self._told
