"""How the desktop's windows look: colours, sizes, and a body that scrolls so that buttons never do.

Tk is given every text as a value and never as a script, so `[exec …]` and `$x` are drawn as they
are. Characters beyond the basic plane are drawn as their code: some X libraries end the process
over a coloured emoji, and a request could carry one.
"""

from __future__ import annotations

from functools import partial
from tkinter import Canvas, Tk, font, ttk
from typing import TYPE_CHECKING, Any, Final

from borrow.tray import screens

if TYPE_CHECKING:
    from borrow.tray.labels import Pairs
    from borrow.tray.looks import Looks

LIGHT: Final = {
    "back": "#f5f6f8",
    "field": "#ffffff",
    "line": "#c3c9d2",
    "text": "#16181d",
    "faint": "#566072",
    "bad": "#b00020",
    "warn": "#7a4a00",
    "yes": "#1b6e37",
    "yes_text": "#ffffff",
    "button": "#e4e8ee",
    "dead": "#dfe2e7",
    "dead_text": "#80899a",
    "focus": "#1f5fd0",
}
DARK: Final = {
    "back": "#22252b",
    "field": "#2b2f37",
    "line": "#4b525e",
    "text": "#f0f2f5",
    "faint": "#a9b3c1",
    "bad": "#ff8a80",
    "warn": "#f0c36d",
    "yes": "#2e8b4f",
    "yes_text": "#ffffff",
    "button": "#3a404b",
    "dead": "#2d3138",
    "dead_text": "#79818f",
    "focus": "#7fb0ff",
}
_WIDTH: Final = 560  # pixels of the text at scale 1


class Paint:
    """One root window's style. Sizes are in pixels at scale 1, and grow with the text."""

    def __init__(self, root: Tk, looks: Looks) -> None:
        self.root = root
        self.colours = DARK if looks.dark else LIGHT
        self.scale = looks.scale(root.winfo_fpixels("1i"))
        whole = screens.Monitor(0, 0, root.winfo_screenwidth(), root.winfo_screenheight())
        self._several = len(looks.monitors) > 1
        self._monitor = screens.monitor_at(looks.monitors or [whole], *root.winfo_pointerxy())
        self.most_high = self._monitor.most_high
        self.width = min(self.px(_WIDTH), self._monitor.width - self.px(40) - 40)
        self._fonts()
        self._style(ttk.Style(root))

    def px(self, size: int) -> int:
        return round(size * self.scale)

    def appear(self) -> None:
        """Show the finished window: with several monitors whole on the pointer's, not between two.

        On a single one the window manager knows best what else stands there.
        """
        root = self.root
        root.update_idletasks()
        if self._several:
            x, y = screens.place(self._monitor, root.winfo_reqwidth(), root.winfo_reqheight())
            root.geometry(f"+{x}+{y}")
        root.deiconify()

    def stay_inside(self) -> None:
        """A window that has grown goes up by what would be below its monitor."""
        root = self.root
        root.update_idletasks()
        x, y = root.winfo_rootx(), root.winfo_rooty()
        over = y + root.winfo_reqheight() - self._monitor.bottom
        if over > 0 and root.winfo_ismapped() and not self._monitor.distance(x, y):
            root.geometry(f"+{root.winfo_x()}+{max(self._monitor.top, root.winfo_y() - over)}")

    def _fonts(self) -> None:
        for name in font.names(self.root):
            named = font.nametofont(name, self.root)
            named.configure(size=round(named.cget("size") * self.scale))
        base = font.nametofont("TkDefaultFont", self.root)
        self.head, self.huge = base.copy(), base.copy()
        self.head.configure(size=round(base.cget("size") * 1.35), weight="bold")
        self.huge.configure(size=round(base.cget("size") * 3.6), weight="bold")
        self.base = base

    def _style(self, style: ttk.Style) -> None:
        told, pad = self.colours, self.px(6)
        style.theme_use("clam")
        self.root.configure(background=told["back"])
        for name in ("Listbox.background", "Listbox.foreground"):
            kind = "field" if name.endswith("background") else "text"
            self.root.option_add(f"*TCombobox*{name}", told[kind])
        self.root.option_add("*TCombobox*Listbox.font", "TkTextFont")
        style.configure(
            ".", background=told["back"], foreground=told["text"], bordercolor=told["line"]
        )
        for name in ("faint", "bad", "warn"):
            style.configure(f"{name.capitalize()}.TLabel", foreground=told[name])
        style.configure("Head.TLabel", font=self.head)
        style.configure("Huge.TLabel", font=self.huge)
        style.configure("TLabelframe", lightcolor=told["back"], darkcolor=told["back"])
        style.configure("TLabelframe.Label", foreground=told["faint"])
        style.configure("Warn.TLabelframe.Label", foreground=told["warn"])
        for kind in ("TEntry", "TCombobox"):
            style.configure(
                kind,
                fieldbackground=told["field"],
                foreground=told["text"],
                insertcolor=told["text"],
                arrowcolor=told["text"],
                background=told["button"],
                padding=self.px(4),
                arrowsize=self.px(13),
            )
            style.map(
                kind,
                bordercolor=[("focus", told["focus"])],
                lightcolor=[("focus", told["focus"]), ("", told["field"])],
                fieldbackground=[("", told["field"])],
            )
        style.configure(
            "TRadiobutton",
            indicatorbackground=told["field"],
            indicatorforeground=told["focus"],
            upperbordercolor=told["faint"],
            lowerbordercolor=told["faint"],
            indicatorsize=self.px(12),
            indicatormargin=(self.px(1), self.px(1), self.px(5), self.px(1)),
            focuscolor=told["focus"],
        )
        style.map(
            "TRadiobutton",
            background=[("focus", told["button"]), ("", told["back"])],
            indicatorbackground=[("", told["field"])],
        )
        self._buttons(style, pad)
        style.configure("Vertical.TScrollbar", background=told["button"], troughcolor=told["back"])

    def _buttons(self, style: ttk.Style, pad: int) -> None:
        told = self.colours
        for kind, back, text in (("TButton", "button", "text"), ("Yes.TButton", "yes", "yes_text")):
            style.configure(
                kind,
                padding=(pad * 2, pad),
                width=-8,
                background=told[back],
                foreground=told[text],
                focuscolor=told[text],
                borderwidth=1,
            )
            style.map(
                kind,
                background=[("disabled", told["dead"]), ("", told[back])],
                foreground=[("disabled", told["dead_text"]), ("", told[text])],
                bordercolor=[("focus", told["focus"])],
                lightcolor=[("focus", told["focus"]), ("", told["line"])],
                darkcolor=[("focus", told["focus"]), ("", told["line"])],
            )

    def label(self, box: Any, text: str, style: str = "TLabel", **more: Any) -> ttk.Label:
        return ttk.Label(
            box, text=drawable(text), style=style, wraplength=self.width, justify="left", **more
        )

    def pairs(self, box: Any, pairs: Pairs, *, inset: int = 0) -> None:
        """Two columns; the second begins at one line in any block, `inset` pixels into the box."""
        first = self.base.measure("denied before") - inset
        box.columnconfigure(0, minsize=first)
        for row, (label, value) in enumerate(pairs):
            name = ttk.Label(box, text=drawable(label), style="Faint.TLabel", wraplength=first)
            name.grid(row=row, column=0, sticky="nw", padx=(0, self.px(8)))
            told = ttk.Label(box, text=drawable(value), wraplength=self.width - first - self.px(40))
            told.grid(row=row, column=1, sticky="w")


class Body(Canvas):
    """A frame that scrolls once it is higher than the screen allows. Fill `inside`, then `fit`."""

    def __init__(self, paint: Paint) -> None:
        super().__init__(
            paint.root, highlightthickness=0, takefocus=0, background=paint.colours["back"]
        )
        self.inside = ttk.Frame(self, padding=(paint.px(16), paint.px(12)))
        self._bar = ttk.Scrollbar(paint.root, command=self.yview, takefocus=0)
        self.configure(yscrollcommand=self._bar.set)
        self.create_window(0, 0, window=self.inside, anchor="nw")
        paint.root.rowconfigure(0, weight=1)
        paint.root.columnconfigure(0, weight=1)
        self.grid(row=0, column=0, sticky="nsew")
        for key, way in (("<Button-4>", -2), ("<Button-5>", 2), ("<Prior>", -10), ("<Next>", 10)):
            paint.root.bind(key, partial(self._move, way), add=True)

    def _move(self, way: int, event: object) -> None:
        if self.yview() != (0.0, 1.0):
            self.yview_scroll(way, "units")

    def fit(self, most: int) -> None:
        """As high as what is inside, `most` pixels at most."""
        self.update_idletasks()
        wide, high = self.inside.winfo_reqwidth(), self.inside.winfo_reqheight()
        self.configure(width=wide, height=min(high, most), scrollregion=(0, 0, wide, high))
        if high > most:
            self._bar.grid(row=0, column=1, sticky="ns")
        else:
            self._bar.grid_remove()

    def reveal(self, widget: Any) -> None:
        """Scroll so that `widget` is seen: Tab may lead to what is below."""
        if not self.shows(widget):
            top = widget.winfo_rooty() - self.inside.winfo_rooty()
            high = max(1, self.inside.winfo_reqheight())
            self.yview_moveto(max(0, top - self.winfo_height() // 3) / high)

    def shows(self, widget: Any) -> bool:
        top = widget.winfo_rooty() - self.winfo_rooty()
        return bool(top >= 0 and top + widget.winfo_height() <= self.winfo_height())


def drawable(text: str) -> str:
    return "".join(char if ord(char) < 0x10000 else f"\\u{{{ord(char):x}}}" for char in text)
