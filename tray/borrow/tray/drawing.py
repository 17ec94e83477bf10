"""Paints the icon: a shape for each state, so that colour is never the only difference.

An open ring waits; a full one with a number is lent (minutes left); a speech bubble with a number
asks; a broken ring is out of reach; a ring with bars is frozen. A small pair of bars says that
prompts are paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from borrow.tray.picture import Look

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from borrow.tray.picture import Picture

SIZE: Final = 44
_SCALE: Final = 4  # drawn larger, then reduced: smooth edges
COLOURS: Final[dict[Look, str]] = {
    Look.IDLE: "#8a94a6",
    Look.LENT: "#2e9e5b",
    Look.ASKED: "#e08a00",
    Look.AWAY: "#8a94a6",
    Look.FROZEN: "#3a7bd5",
}


def draw(picture: Picture) -> Image:
    from PIL import Image, ImageDraw

    size = SIZE * _SCALE
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    _shape(pen, picture.look, size, COLOURS[picture.look])
    if picture.badge:
        _badge(pen, picture.badge, size)
    if picture.paused:
        _bars(pen, size)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _shape(pen: ImageDraw, look: Look, size: int, colour: str) -> None:
    edge, wide = size // 14, size // 8
    box = (edge, edge, size - edge, size - edge)
    match look:
        case Look.IDLE:
            pen.ellipse(box, outline=colour, width=wide)
            _key(pen, size, colour)
        case Look.LENT:
            pen.ellipse(box, fill=colour)
        case Look.ASKED:
            pen.rounded_rectangle((edge, edge, size - edge, size * 4 // 5), size // 5, fill=colour)
            pen.polygon(
                [(size // 4, size * 3 // 4), (size // 4, size - edge), (size // 2, size * 3 // 4)],
                fill=colour,
            )
        case Look.AWAY:
            for start in range(0, 360, 60):
                pen.arc(box, start, start + 32, fill=colour, width=wide)
        case Look.FROZEN:
            pen.ellipse(box, outline=colour, width=wide // 2)
            for across in (size * 3 // 10, size * 11 // 20):
                pen.rectangle(
                    (across, size * 3 // 10, across + size * 3 // 20, size * 7 // 10), fill=colour
                )


def _key(pen: ImageDraw, size: int, colour: str) -> None:
    middle, wide = size // 2, size // 10
    pen.ellipse(
        (middle - wide, size // 3 - wide, middle + wide, size // 3 + wide),
        outline=colour,
        width=wide // 2,
    )
    pen.rectangle((middle - wide // 3, size // 3 + wide, middle + wide // 3, size * 3 // 4), colour)
    pen.rectangle((middle, size * 3 // 5, middle + wide, size * 3 // 5 + wide // 2), colour)


def _badge(pen: ImageDraw, text: str, size: int) -> None:
    from PIL import ImageFont

    high = size * (7 if len(text) < 3 else 5) // 12
    font = ImageFont.load_default(high)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    place = ((size - right - left) / 2, (size * 0.94 - bottom - top) / 2)
    pen.text(place, text, fill="white", font=font, stroke_width=size // 60, stroke_fill="white")


def _bars(pen: ImageDraw, size: int) -> None:
    for across in (size * 7 // 10, size * 17 // 20):
        box = (across, size * 7 // 10, across + size // 12, size - 1)
        pen.rectangle(box, fill="#ffffff", outline="#222222", width=_SCALE)
