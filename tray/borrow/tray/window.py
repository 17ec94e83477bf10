"""The window, in a process of its own: one request to answer, or one role to ask for.

1. Nothing is pressed by mistake: *Approve* is dead for a second after the window came or got the
   focus back, no button is the default, and Enter in a field goes to the next one.
2. Esc and closing mean *not now*. A no is a button of its own, and needs nothing.
3. It can be used with the keyboard alone: Tab, Space, and Alt with the underlined letter.
4. A click here is consent and notice, not authentication: what has to be proved is typed.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.durations import show_duration
from borrow.protocol.errors import BorrowError
from borrow.protocol.text import shown
from borrow.tray import form as forms

if TYPE_CHECKING:
    import tkinter as tk
    from collections.abc import Callable, Mapping

    from borrow.tray.ports import Daemon

ARM_AFTER: Final = 1000  # milliseconds
LOOK_EVERY: Final = 2.0  # seconds between looks whether it was answered elsewhere
STAY: Final = 2500  # milliseconds that "answered elsewhere" stands
_LIGHT: Final = {"back": "#f5f6f8", "text": "#16181d", "faint": "#5b6472", "bad": "#b00020"}
_DARK: Final = {"back": "#22252b", "text": "#f0f2f5", "faint": "#a5afbd", "bad": "#ff8a80"}


class NotHere(Exception):
    """No window can be opened; the text says why."""


def answer(daemon: Daemon, request: str) -> str:
    """What was decided, in words; "" if nothing was."""
    path = f"/v1/decisions/{request}"
    one = daemon.get(path)
    form = forms.answering(one)

    def say_yes(typed: Mapping[str, str], seconds: int) -> str:
        daemon.post(path, forms.yes_body(form, one, typed, seconds))
        return f"approved: {one.get('role')} ({request})"

    def say_no(reason: str) -> str:
        daemon.post(path, {"decision": "deny", "reason": reason})
        return f"denied: {one.get('role')} ({request})"

    def look() -> str:
        state = str(daemon.get(path).get("state", "pending"))
        return "" if state == "pending" else f"answered elsewhere: {shown(state, 20)}"

    return Window(form, say_yes, say_no, look).run()


def ask(daemon: Daemon, role: str, *, grant: str = "") -> str:
    """Ask for `role`, or let the person choose one; what was asked, "" if nothing."""
    entries = [each for each in daemon.get("/v1/roles").get("roles", []) if isinstance(each, dict)]
    if not role:
        role = Chooser([str(each.get("name")) for each in entries]).run()
        if not role:
            return ""
    entry = next((each for each in entries if each.get("name") == role), {"name": role})
    form = forms.asking(entry, extends=grant)

    def say_yes(typed: Mapping[str, str], seconds: int) -> str:
        body: dict[str, Any] = {"role": role, "wait": False}
        body |= {name: value for name, value in typed.items() if value}
        body |= {"seconds": seconds} if seconds else {}
        body |= {"grant": grant} if grant else {}
        stream = daemon.stream("/v1/extend" if grant else "/v1/ask", body)
        told = next((each for each in stream.events(40.0) if each is not None), {})
        if told.get("event") in ("waiting", "seen", "granted"):
            return f"{'granted' if told['event'] == 'granted' else 'asked'}: {role}"
        raise BorrowError(shown(str(told.get("message") or "it could not be asked"), 200))

    return Window(form, say_yes, None, None).run()


def open_root() -> tk.Tk:
    try:
        import tkinter
    except ImportError as exc:
        raise NotHere("this Python has no tkinter (apt install python3-tk)") from exc
    try:
        return tkinter.Tk(className="borrow-prompt")
    except tkinter.TclError as exc:
        raise NotHere("the display cannot be opened") from exc


def colours(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    theme = environ.get("BORROW_THEME") or environ.get("GTK_THEME") or ""
    return _DARK if theme.lower().endswith("dark") else _LIGHT


class Window:
    """`say_yes` and `say_no` block and raise BorrowError; `look` says that it is over elsewhere."""

    def __init__(
        self,
        form: forms.Form,
        say_yes: Callable[[Mapping[str, str], int], str],
        say_no: Callable[[str], str] | None,
        look: Callable[[], str] | None,
    ) -> None:
        from tkinter import StringVar

        self._form, self._say_yes, self._say_no, self._look = form, say_yes, say_no, look
        self._root = open_root()
        self._root.title(form.title)
        self._root.resizable(width=False, height=False)
        self._colours = colours()
        self._style()
        self._told = ""
        self._armed = ""  # the timer's name
        self._busy = False
        self._answers: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._typed = {field.name: StringVar(self._root) for field in form.fields}
        self._why_not = StringVar(self._root)
        self._seconds = StringVar(self._root, str(form.durations[-1] if form.durations else 0))
        self._message = StringVar(self._root, form.cannot)
        self._left = StringVar(self._root)
        self._fields: dict[str, Any] = {}
        self._build()
        self._bind()

    def run(self) -> str:
        self._tick()
        self._pump()
        if self._look is not None:
            threading.Thread(target=self._watch, args=(self._look,), daemon=True).start()
        self._root.mainloop()
        return self._told

    # -- how it looks --------------------------------------------------------------------------

    def _style(self) -> None:
        from tkinter import ttk

        told, style = self._colours, ttk.Style(self._root)
        style.theme_use("clam")
        self._root.configure(background=told["back"])
        style.configure(".", background=told["back"], foreground=told["text"])
        style.configure("Faint.TLabel", foreground=told["faint"])
        style.configure("Bad.TLabel", foreground=told["bad"])
        style.configure("Head.TLabel", font=("TkDefaultFont", 13, "bold"))
        style.configure("Claim.TLabelframe.Label", foreground=told["faint"])
        style.configure("TEntry", fieldbackground=told["back"], foreground=told["text"])
        for kind in ("TButton", "TRadiobutton"):
            style.map(kind, background=[("active", told["back"])])

    def _build(self) -> None:
        from tkinter import ttk

        form = self._form
        frame = ttk.Frame(self._root, padding=16)
        frame.grid()
        head = form.title.removeprefix("Borrow: ")
        ttk.Label(frame, text=head, style="Head.TLabel", wraplength=520).grid(sticky="w")
        self._pairs(ttk.Frame(frame), form.facts)
        if form.claims:
            title = "What the asking device says (not verified)"
            box = ttk.Labelframe(frame, text=title, style="Claim.TLabelframe", padding=6)
            self._pairs(box, form.claims)
        self._build_durations(ttk.Frame(frame))
        self._build_fields(ttk.Frame(frame))
        message = ttk.Label(frame, textvariable=self._message, style="Bad.TLabel", wraplength=520)
        message.grid(sticky="w", pady=(6, 0))
        self._build_buttons(ttk.Frame(frame))

    def _pairs(self, box: Any, pairs: tuple[tuple[str, str], ...]) -> None:
        from tkinter import ttk

        box.grid(sticky="ew", pady=(8, 0))
        for row, (label, value) in enumerate(pairs):
            name = ttk.Label(box, text=label, style="Faint.TLabel", width=14)
            name.grid(row=row, column=0, sticky="nw")
            ttk.Label(box, text=value, wraplength=400).grid(row=row, column=1, sticky="w")

    def _build_durations(self, box: Any) -> None:
        from tkinter import ttk

        if not self._form.durations or self._form.cannot:
            return
        box.grid(sticky="w", pady=(10, 0))
        ttk.Label(box, text="for", style="Faint.TLabel", width=14).grid(row=0, column=0)
        for place, seconds in enumerate(self._form.durations):
            name = show_duration(seconds)
            ttk.Radiobutton(box, text=name, value=str(seconds), variable=self._seconds).grid(
                row=0, column=place + 1, padx=(0, 8)
            )

    def _build_fields(self, box: Any) -> None:
        from tkinter import ttk

        box.grid(sticky="w", pady=(8, 0))
        shown_fields = () if self._form.cannot else self._form.fields
        for row, field in enumerate(shown_fields):
            entry = self._entry(box, row, field.label, self._typed[field.name])
            entry.configure(show="•" if field.secret else "")
            self._fields[field.name] = entry
        if self._say_no is not None:
            self._entry(box, len(shown_fields), "Why not (if you deny)", self._why_not)
        for child in box.winfo_children():
            if isinstance(child, ttk.Entry):
                child.bind("<Return>", lambda event: _next(event.widget))

    def _entry(self, box: Any, row: int, label: str, variable: Any) -> Any:
        from tkinter import ttk

        ttk.Label(box, text=label).grid(row=row, column=0, sticky="w", padx=(0, 10))
        entry = ttk.Entry(box, width=34, textvariable=variable)
        entry.grid(row=row, column=1, sticky="w", pady=2)
        return entry

    def _build_buttons(self, box: Any) -> None:
        from tkinter import ttk

        box.grid(sticky="ew", pady=(12, 0))
        ttk.Label(box, textvariable=self._left, style="Faint.TLabel").pack(side="left")
        self._yes = ttk.Button(box, text=self._form.yes, underline=0, command=self._approve)
        later = ttk.Button(box, text="Not now", underline=0, command=self._close)
        if self._form.no:
            no = ttk.Button(box, text=self._form.no, underline=0, command=self._deny)
            no.pack(side="left", padx=(24, 6))
        later.pack(side="left", padx=6)
        self._yes.pack(side="left", padx=6)
        self._yes.state(["disabled"])

    # -- what it does --------------------------------------------------------------------------

    def _bind(self) -> None:
        root = self._root
        root.bind("<Escape>", lambda event: self._close())
        root.protocol("WM_DELETE_WINDOW", self._close)
        root.bind("<FocusIn>", lambda event: self._arm() if event.widget is root else None)
        root.bind("<Map>", lambda event: self._arm() if event.widget is root else None)
        root.bind("<Alt-a>", lambda event: self._yes.invoke())
        root.bind("<Alt-n>", lambda event: self._close())
        if self._form.no:
            root.bind("<Alt-d>", lambda event: self._deny())
        first = next(iter(self._fields.values()), None)
        if first is not None:
            root.after(50, first.focus_set)
        for button in ("<Return>", "<KP_Enter>"):
            self._root.bind_class("TButton", button, lambda event: event.widget.invoke())

    def _arm(self) -> None:
        """A click or key that was meant for another window approves nothing."""
        if self._form.cannot:
            return
        self._yes.state(["disabled"])
        if self._armed:
            self._root.after_cancel(self._armed)
        self._armed = self._root.after(ARM_AFTER, lambda: self._yes.state(["!disabled"]))

    def _approve(self) -> None:
        typed = {name: variable.get() for name, variable in self._typed.items()}
        field, wrong = forms.problem(self._form, typed)
        if wrong:
            self._message.set(wrong)
            self._fields[field].focus_set()
            return
        self._work(lambda: self._say_yes(typed, int(self._seconds.get() or 0)))

    def _deny(self) -> None:
        say_no, reason = self._say_no, self._why_not.get().strip()
        if say_no is not None:
            self._work(lambda: say_no(reason))

    def _work(self, call: Callable[[], str]) -> None:
        """In a thread; its outcome comes back through the queue, because Tk has one thread."""
        if self._busy:
            return
        self._busy = True
        self._message.set("…")

        def work() -> None:
            try:
                told = call()
            except BorrowError as exc:
                text = exc.message + (f" ({exc.hint})" if exc.hint else "")
                self._answers.put(lambda: self._failed(shown(text, 300)))
            else:
                self._answers.put(lambda: self._finish(told))

        threading.Thread(target=work, daemon=True).start()

    def _failed(self, why: str) -> None:
        self._busy = False
        self._message.set(why)

    def _finish(self, told: str) -> None:
        self._told = told
        self._close()

    def _close(self) -> None:
        self._root.destroy()

    def _watch(self, look: Callable[[], str]) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            try:
                over = look()
            except BorrowError:
                continue
            if over:
                break
        self._answers.put(lambda: self._over(over))

    def _over(self, why: str) -> None:
        if not self._busy:
            self._message.set(why)
            self._yes.state(["disabled"])
            self._root.after(STAY, self._close)

    def _pump(self) -> None:
        while not self._answers.empty():
            self._answers.get()()
            if self._told:
                return
        self._root.after(50, self._pump)

    def _tick(self) -> None:
        if not self._form.expires_at:
            return
        left = self._form.expires_at - time.time()  # noqa: TID251  the edge: for eyes only
        if left <= 0:
            self._over("nobody answered in time")
            return
        self._left.set(f"{int(left) // 60}:{int(left) % 60:02d} left")
        self._root.after(1000, self._tick)


class Chooser:
    """A list of roles; typing finds, Enter takes."""

    def __init__(self, roles: list[str]) -> None:
        import tkinter

        self._root = open_root()
        self._root.title("Borrow: which role?")
        self._told = ""
        self._list = tkinter.Listbox(self._root, width=40, height=min(16, max(3, len(roles))))
        for role in roles:
            self._list.insert("end", shown(role, 64))
        self._roles = roles
        self._list.pack(padx=12, pady=12)
        self._list.focus_set()
        self._list.activate(0)
        self._root.bind("<Escape>", lambda event: self._root.destroy())
        self._list.bind("<Return>", lambda event: self._take())
        self._list.bind("<Double-Button-1>", lambda event: self._take())

    def _take(self) -> None:
        self._told = self._roles[int(self._list.index("active"))] if self._roles else ""
        self._root.destroy()

    def run(self) -> str:
        self._root.mainloop()
        return self._told


def _next(widget: Any) -> str:
    widget.tk_focusNext().focus_set()
    return "break"
