"""A link as a drawing: the path of an SVG, for a module of ours to put into the page.

No image address could hold it: the link is a key, and an address would be logged and kept.
"""

from __future__ import annotations

from typing import TypedDict

QUIET = 4  # modules of white around it, which readers need (ISO/IEC 18004 §9.1)


class Drawing(TypedDict):
    """`path` in units of one module; `size` with the white around it."""

    size: int
    path: str


def drawing(text: str) -> Drawing:
    import segno

    made = segno.make(text, error="m", boost_error=False, micro=False)
    rows = list(made.matrix_iter(border=QUIET))
    path = "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    )
    return {"size": len(rows), "path": path}
