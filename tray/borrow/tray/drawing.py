"""Paints the icon: a shape for each state, so that colour is never the only difference.

A ring with a key waits; a full disc with a number is lent (minutes left); a speech bubble with a
number asks; a broken ring is out of reach; a ring with bars is frozen. A small moon in the corner
says that prompts are paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from borrow.tray.picture import Look

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from borrow.tray.picture import Picture

SIZE: Final = 96  # pixels; panels show about a quarter of it
_SCALE: Final = 2  # drawn larger, then reduced: smooth edges
COLOURS: Final[dict[Look, str]] = {
    Look.IDLE: "#8a94a6",
    Look.LENT: "#2e9e5b",
    Look.ASKED: "#d97706",
    Look.AWAY: "#8a94a6",
    Look.FROZEN: "#3a7bd5",
}
MOON: Final = "#7c5cd6"


def draw(picture: Picture) -> Image:
    from PIL import Image, ImageDraw

    size = SIZE * _SCALE
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    _shape(pen, picture.look, size, COLOURS[picture.look])
    if picture.badge:
        middle = 0.43 if picture.look is Look.ASKED else 0.5
        _badge(pen, picture.badge, size, middle)
    if picture.paused:
        _moon(pen, size)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _shape(pen: ImageDraw, look: Look, size: int, colour: str) -> None:
    edge, wide = size // 24, size // 9
    box = (edge, edge, size - edge, size - edge)
    match look:
        case Look.IDLE:
            pen.ellipse(box, outline=colour, width=wide)
            _key(pen, size, colour)
        case Look.LENT:
            pen.ellipse(box, fill=colour)
        case Look.ASKED:
            low = size * 5 // 6
            tail = [(size // 5, low - edge), (size // 5, size - edge), (size // 2, low - edge)]
            pen.rounded_rectangle((edge, edge, size - edge, low), size // 5, fill=colour)
            pen.polygon(tail, fill=colour)
        case Look.AWAY:
            for start in range(0, 360, 60):
                pen.arc(box, start, start + 32, fill=colour, width=wide)
        case Look.FROZEN:
            pen.ellipse(box, outline=colour, width=wide)
            for left in (0.32, 0.55):
                pen.rectangle(_box(size, left, 0.29, left + 0.13, 0.71), fill=colour)


def _key(pen: ImageDraw, size: int, colour: str) -> None:
    """Upright: a bow with a hole, a shaft, two teeth."""
    pen.ellipse(_box(size, 0.36, 0.2, 0.64, 0.48), outline=colour, width=size // 12)
    pen.rectangle(_box(size, 0.45, 0.46, 0.55, 0.8), fill=colour)
    for top in (0.56, 0.7):
        pen.rectangle(_box(size, 0.55, top, 0.66, top + 0.09), fill=colour)


def _box(size: int, *parts: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = (part * size for part in parts)
    return left, top, right, bottom


def _badge(pen: ImageDraw, text: str, size: int, middle: float) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size * (62 if len(text) < 3 else 44) // 100)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    place = ((size - right - left) / 2, size * middle - (bottom + top) / 2)
    pen.text(place, text, fill="white", font=font, stroke_width=size // 50, stroke_fill="white")


def _moon(pen: ImageDraw, size: int) -> None:
    """Crescent on a disc, so that it stands out on any icon below it."""
    pen.ellipse(_box(size, 0.55, 0.55, 1.0, 1.0), fill=MOON)
    pen.ellipse(_box(size, 0.63, 0.63, 0.92, 0.92), fill="white")
    pen.ellipse(_box(size, 0.72, 0.59, 0.98, 0.85), fill=MOON)
