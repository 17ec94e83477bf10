from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from borrow.tray.drawing import SIZE, draw
from borrow.tray.picture import Look, Picture

if TYPE_CHECKING:
    from PIL.Image import Image


def solid(image: Image) -> frozenset[tuple[int, int]]:
    """The places of the shape, whatever its colour."""
    alpha = image.resize((22, 22)).getchannel("A")
    return frozenset(
        (x, y) for x in range(22) for y in range(22) if level(alpha.getpixel((x, y))) > 128
    )


def level(seen: Any) -> int:
    return int(seen)


def test_every_state_has_a_shape_of_its_own_at_the_size_of_a_panel() -> None:
    """Colour is never the only difference."""
    shapes = [solid(draw(Picture(look, "", ""))) for look in Look]
    for number, one in enumerate(shapes):
        for other in shapes[number + 1 :]:
            assert len(one ^ other) > 30


@pytest.mark.parametrize("badge", ["1", "59", "99", "12h", "99d"])
def test_a_badge_stays_within_its_icon(badge: str) -> None:
    plain, marked = (draw(Picture(Look.LENT, text, "")) for text in ("", badge))
    assert plain.size == marked.size == (SIZE, SIZE)
    assert solid(plain) == solid(marked)
    white = sum(level(pixel) > 250 for pixel in marked.convert("L").get_flattened_data())
    assert white > 100


def test_a_pause_is_seen_on_every_icon() -> None:
    for look in Look:
        plain, paused = (draw(Picture(look, "", "", paused=on)) for on in (False, True))
        assert plain.tobytes() != paused.tobytes()
