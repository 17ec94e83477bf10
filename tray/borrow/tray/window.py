"""The window, in a process of its own: one question to answer, or one role to ask for.

1. Nothing is pressed by mistake: a yes and a no rest for the first second (`arming`); no button is
   the default, and Enter in a field goes to the next.
2. Esc and closing mean *not now*. A no is a button of its own, and needs nothing.
3. It can be used with the keyboard alone: Tab, Space, and Alt with the underlined letter.
4. A click here is consent and notice, not authentication: what has to be proved is typed.
"""

from __future__ import annotations

import queue
import threading
from functools import partial
from tkinter import StringVar, TclError, Tk, ttk
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.durations import show_duration
from borrow.protocol.errors import BorrowError
from borrow.protocol.text import shown
from borrow.tray import form as forms
from borrow.tray.arming import Arming
from borrow.tray.paint import Body, Paint, drawable
from borrow.tray.prompt import LATER, Ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.tray.looks import Looks
    from borrow.tray.prompt import Answer, Question, Waiting

LOOK_EVERY: Final = 2.0  # seconds between looks whether it was answered elsewhere
STAY: Final = 2500  # milliseconds that the reason for an end stands
LOOK_IN: Final = 80  # milliseconds between two looks at what the threads brought
NAME: Final = "borrow-prompt"  # the window's class


class NotHere(Exception):
    """No window can be opened; the text says why."""


def open_root() -> Tk:
    try:
        root = Tk(className=NAME)
    except TclError as exc:
        raise NotHere("the display cannot be opened") from exc
    root.withdraw()  # until it is whole
    if root.tk.call("tk", "windowingsystem") == "x11":
        root.wm_attributes("-type", "dialog")  # it floats where windows are tiled (sway, i3)
    return root


class Window:
    """Draws one question and runs until it ended. `clock` gives unix seconds."""

    def __init__(self, question: Question, looks: Looks, clock: Callable[[], float]) -> None:
        self._question, self._form, self._clock = question, question.form, clock
        self._root = open_root()
        self._root.title(f"Borrow: {drawable(self._form.head)}")
        self._paint = Paint(self._root, looks)
        self._ended = LATER
        self._error: BaseException | None = None
        self._busy = False
        self._over = False
        self._waiting: Waiting | None = None
        self._look = threading.Event()  # set to look at once whether it is over
        self._brought: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._typed = {field.name: StringVar(self._root) for field in self._form.fields}
        self._why_not = StringVar(self._root)
        self._seconds = StringVar(self._root, str(self._form.chosen))
        self._fields: dict[str, Any] = {}
        self._build()
        self._bind()

    def run(self) -> Ended:
        self._paint.appear()
        self._tick()
        self._take()
        if self._question.look is not None:
            self._thread(self._watch, self._question.look)
        self._root.mainloop()
        if self._error is not None:
            raise self._error
        return self._ended

    # -- how it looks --------------------------------------------------------------------------

    def _build(self) -> None:
        self._body = Body(self._paint)
        self._build_body(self._body.inside)
        self._foot = ttk.Frame(self._root, padding=self._paint.px(16))
        self._foot.grid(row=1, column=0, columnspan=2, sticky="ew")
        self._message = self._paint.label(self._foot, "", "Bad.TLabel")
        self._buttons = ttk.Frame(self._foot)
        self._build_buttons(self._buttons)
        if self._form.cannot:
            self._say(self._form.cannot, style="Warn.TLabel")
        self._fit()

    def _fit(self) -> None:
        """What is above scrolls, what is below stays in sight."""
        self._root.update_idletasks()
        self._body.fit(self._paint.most_high - self._foot.winfo_reqheight())
        self._paint.stay_inside()

    def _build_body(self, box: Any) -> None:
        form, paint, gap = self._form, self._paint, self._paint.px(9)
        paint.label(box, form.head, "Head.TLabel").pack(anchor="w")
        frame = ttk.Frame(box)
        paint.pairs(frame, form.facts)
        frame.pack(fill="x", pady=(gap, 0))
        if form.claims:
            style = "Warn.TLabelframe"
            inset = paint.px(6)
            told = ttk.Labelframe(box, text=forms.CLAIMED, style=style, padding=inset)
            paint.pairs(told, form.claims, inset=inset + 2)  # and its border
            told.pack(fill="x", pady=(gap, 0))
        if form.durations and not form.cannot:
            self._build_durations(ttk.Frame(box))
        for field in () if form.cannot else form.fields:
            self._fields[field.name] = self._build_field(box, field)
        if self._question.say_no is not None:
            self._entry(box, "Why not (only for a no)", self._why_not)

    def _build_durations(self, box: Any) -> None:
        box.pack(anchor="w", pady=(self._paint.px(9), 0))
        ttk.Label(box, text="Lend it for").pack(side="left", padx=(0, self._paint.px(10)))
        for seconds in self._form.durations:
            name, value = show_duration(seconds), str(seconds)
            button = ttk.Radiobutton(box, text=name, value=value, variable=self._seconds)
            button.bind("<FocusIn>", self._reveal)
            button.pack(side="left", padx=(0, self._paint.px(10)))

    def _build_field(self, box: Any, field: forms.Field) -> Any:
        label = field.label + (f" ({field.rule})" if field.rule else "")
        entry = self._entry(box, label, self._typed[field.name], field.recent)
        entry.configure(**({"show": "•"} if field.secret else {}))
        if field.digits:
            entry.configure(width=field.digits + 4)
            entry.pack_configure(fill="none")
        return entry

    def _entry(self, box: Any, label: str, variable: Any, recent: tuple[str, ...] = ()) -> Any:
        self._paint.label(box, label, "Faint.TLabel").pack(anchor="w", pady=(self._paint.px(7), 0))
        entry: Any = (
            ttk.Combobox(box, textvariable=variable, values=[drawable(each) for each in recent])
            if recent
            else ttk.Entry(box, textvariable=variable)
        )
        entry.configure(width=10)  # it fills the row; its own wish must not widen the window
        entry.pack(anchor="w", fill="x")
        entry.bind("<Return>", _next)
        entry.bind("<Control-a>", _all)  # Tk's own goes to the start of the line
        entry.bind("<FocusIn>", self._reveal)
        return entry

    def _build_buttons(self, box: Any) -> None:
        form, gap = self._form, self._paint.px(8)
        self._left = ttk.Label(box, style="Faint.TLabel")
        self._no = ttk.Button(box, text=form.no, underline=0, command=self._deny)
        self._later = ttk.Button(box, text="Not now", underline=0, command=self._close)
        self._yes = ttk.Button(
            box, text=form.yes, underline=0, command=self._approve, style="Yes.TButton"
        )
        shown_ones = [*([self._no] if form.no else []), self._later, self._yes]
        box.pack(fill="x")
        row = sum(each.winfo_reqwidth() + gap for each in shown_ones)
        stacked = row > self._paint.width  # large text on a small screen
        above = stacked or row + self._paint.base.measure("00:00 left") > self._paint.width
        self._left.pack(side="top" if above else "left", anchor="w")
        for button in shown_ones if stacked else reversed(shown_ones):
            if stacked:
                button.pack(fill="x", pady=(gap // 2, 0))
            else:
                button.pack(side="right", padx=(gap, 0))
        self._rest()

    def _reveal(self, event: Any) -> None:
        self._body.reveal(event.widget)

    def _rest(self) -> None:
        for button in (self._yes, self._no):
            button.state(["disabled"])

    def _say(self, text: str, style: str = "Bad.TLabel") -> None:
        self._message.configure(text=drawable(text), style=style)
        if text:
            self._message.pack(anchor="w", before=self._buttons, pady=(0, self._paint.px(8)))
        else:
            self._message.pack_forget()
        self._fit()

    # -- what it does --------------------------------------------------------------------------

    def _bind(self) -> None:
        root = self._root
        root.report_callback_exception = self._broke
        root.bind("<Escape>", lambda event: self._close())
        root.protocol("WM_DELETE_WINDOW", self._close)
        Arming(
            root,
            rest=self._rest,
            wake=self._wake,
            idle=lambda: not (self._busy or self._over),
        )
        for key, button in ((self._form.yes, self._yes), (self._form.no, self._no)):
            if key:
                root.bind(f"<Alt-{key[0].lower()}>", partial(_press, button))
        root.bind("<Alt-n>", lambda event: self._close())
        for key in ("<Return>", "<KP_Enter>"):
            root.bind_class("TButton", key, press)
            root.bind_class("TRadiobutton", key, _next)
        root.after_idle(self._focus_first)

    def _focus_first(self) -> None:
        """The first field, if it is in sight: who and what is seen before anything is typed."""
        first = next(iter(self._fields.values()), self._root)
        self._root.update_idletasks()
        (first if first is self._root or self._body.shows(first) else self._root).focus_set()

    def _broke(self, kind: type[BaseException], error: BaseException, trace: object) -> None:
        """An error of ours, or Ctrl-C: no window stays that would do half of what it says."""
        self._error = error
        self._root.destroy()

    def _wake(self) -> None:
        if self._busy or self._over:
            return
        self._no.state(["!disabled"])
        if not self._form.cannot:
            self._yes.state(["!disabled"])

    def _approve(self) -> None:
        typed = {name: variable.get() for name, variable in self._typed.items()}
        field, wrong = forms.problem(self._form, typed)
        if wrong:
            self._say(wrong)
            self._fields[field].focus_set()
            return
        seconds = int(self._seconds.get() or 0)
        self._work(lambda: self._question.say_yes(typed, seconds))

    def _deny(self) -> None:
        say_no, reason = self._question.say_no, self._why_not.get().strip()
        if say_no is not None:
            self._work(lambda: say_no(reason))

    def _work(self, call: Callable[[], Answer]) -> None:
        """In a thread; what comes of it is taken up here, because Tk has one thread."""
        if self._busy or self._over:
            return
        self._busy = True
        self._rest()
        self._say("one moment …", style="Faint.TLabel")

        def work() -> None:
            try:
                answer = call()
            except BorrowError as exc:
                self._brought.put(partial(self._failed, exc))
            else:
                self._brought.put(partial(self._done, answer))

        self._thread(work)

    def _failed(self, error: BorrowError) -> None:
        self._busy = False
        self._say(wording(error))
        self._wake()
        self._look.set()  # the third wrong number ends it
        name = forms.faulty(self._form, error.state)
        if name:
            self._typed[name].set("")
            self._fields[name].focus_set()

    def _done(self, answer: Answer) -> None:
        self._busy = False
        if answer.waiting is None:
            self._ended = Ended("said", answer.told)
            self._root.destroy()
        else:
            self._wait(answer.waiting)

    def _close(self) -> None:
        if self._busy:
            return  # it is on its way, so "not now" would be untrue
        self._root.destroy()

    def _watch(self, look: Callable[[], str]) -> None:
        why = ""
        while not why:
            self._look.wait(LOOK_EVERY)
            self._look.clear()
            try:
                why = look()
            except BorrowError as exc:
                why = wording(exc) if exc.state == "not_found" else ""
        self._brought.put(lambda: self._end(Ended("elsewhere", why)))

    def _end(self, ended: Ended) -> None:
        """It is over, and not by us; what stands there in red stays."""
        if self._busy or self._over:
            return
        self._over, self._ended = True, ended
        self._rest()
        before = str(self._message.cget("text"))
        self._say(f"{before}\n{ended.told}" if before and not self._form.cannot else ended.told)
        self._root.after(STAY, self._root.destroy)

    def _take(self) -> None:
        while not self._brought.empty():
            self._brought.get()()
            if not self._lives():
                return
        self._root.after(LOOK_IN, self._take)

    def _lives(self) -> bool:
        try:
            return bool(self._root.winfo_exists())
        except TclError:
            return False

    def _tick(self) -> None:
        if self._waiting is None and forms.ended(self._form, self._clock()):
            self._end(Ended("late", forms.over("expired")))
            return
        ends = self._form.expires_at if self._waiting is None else self._waiting.expires_at
        self._left.configure(text=forms.time_left(ends, self._clock()))
        self._root.after(1000, self._tick)

    def _thread(self, run: Callable[..., None], *given: Any) -> None:
        threading.Thread(target=run, args=given, daemon=True).start()

    # -- one's own question, asked -------------------------------------------------------------

    def _wait(self, waiting: Waiting) -> None:
        """It was asked: the number has to stand where it was asked, until it is answered."""
        self._waiting = waiting
        self._ended = Ended("said", f"asked: {waiting.head.removeprefix('Asked for ')}")
        self._yes.pack_forget()
        self._later.configure(text="Close", underline=0)
        self._root.bind("<Alt-c>", lambda event: self._close())
        self._told()
        self._thread(self._follow, waiting)

    def _follow(self, waiting: Waiting) -> None:
        try:
            for told in waiting.told():
                self._brought.put(partial(self._answered, told) if told else self._told)
        except BorrowError as exc:
            self._brought.put(partial(self._end, Ended("refused", wording(exc))))

    def _told(self) -> None:
        waiting, inside = self._waiting, self._body.inside
        if waiting is None:
            return
        for child in inside.winfo_children():
            child.destroy()
        self._root.title(f"Borrow: {drawable(waiting.head)}")
        self._paint.label(inside, waiting.head, "Head.TLabel").pack(anchor="w")
        if waiting.number:
            self._paint.label(inside, waiting.number, "Huge.TLabel").pack(pady=self._paint.px(8))
        for line in waiting.lines:
            style = "Faint.TLabel" if line == waiting.request else "TLabel"
            self._paint.label(inside, line, style).pack(anchor="w", pady=(self._paint.px(4), 0))
        self._say("")

    def _answered(self, told: str) -> None:
        self._over, self._ended = True, Ended("said", told)
        self._say(told, style="TLabel")
        self._root.after(STAY, self._root.destroy)


def wording(error: BorrowError) -> str:
    return shown(error.message + (f" ({error.hint})" if error.hint else ""), 300)


def _press(button: ttk.Button, event: object) -> None:
    button.invoke()


def press(event: Any) -> None:
    event.widget.invoke()


def _all(event: Any) -> str:
    event.widget.selection_range(0, "end")
    return "break"


def _next(event: Any) -> str:
    event.widget.tk_focusNext().focus_set()
    return "break"
