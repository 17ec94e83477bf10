"""Draws the icons of the pages: a key that is handed over an edge. `python approver/icons.py`.

Own art, in own code: shapes as distances, sixteen samples a pixel, eight shades, written as PNG by
nothing but zlib. The files are committed; this says how they came about.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent / "borrow/approver/pages/static"
GROUND, KEY = (0x12, 0x30, 0x3A), (0xF2, 0xC1, 0x4E)
SAMPLES = 4  # in each direction


def in_key(x: float, y: float) -> bool:
    """In a unit square, (0, 0) at the top left: a ring, a shaft to the right, and two teeth."""
    ring = ((x - 0.32) ** 2 + (y - 0.5) ** 2) ** 0.5
    if 0.095 <= ring <= 0.19:
        return True
    if 0.49 <= x <= 0.86 and abs(y - 0.5) <= 0.045:
        return True
    return any(left <= x <= left + 0.07 and 0.5 <= y <= 0.64 for left in (0.66, 0.79))


def in_tile(x: float, y: float) -> bool:
    """A square with round corners."""
    radius = 0.2
    dx, dy = max(abs(x - 0.5) - 0.5 + radius, 0), max(abs(y - 0.5) - 0.5 + radius, 0)
    return dx * dx + dy * dy <= radius * radius


def draw(size: int, *, tile: bool, scale: float = 1.0, badge: bool = False) -> bytes:
    """`tile`: round corners, clear outside. `badge`: the key alone, white on clear."""
    rows = []
    for top in range(size):
        row = bytearray([0])
        for left in range(size):
            inside = ground = 0
            for at in range(SAMPLES * SAMPLES):
                x = (left + (at % SAMPLES + 0.5) / SAMPLES) / size
                y = (top + (at // SAMPLES + 0.5) / SAMPLES) / size
                inside += in_key(0.5 + (x - 0.5) / scale, 0.5 + (y - 0.5) / scale)
                ground += in_tile(x, y) if tile else 1
            row += pixel(inside / SAMPLES**2, ground / SAMPLES**2, badge=badge)
        rows.append(bytes(row))
    return png(size, b"".join(rows))


def pixel(key: float, ground: float, *, badge: bool) -> bytes:
    key, ground = round(key * 8) / 8, round(ground * 8) / 8
    if badge:
        return bytes([255, 255, 255, round(255 * key)])
    mixed = (round(g + (k - g) * key) for g, k in zip(GROUND, KEY, strict=True))
    return bytes([*mixed, round(255 * ground)])


def png(size: int, rows: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


if __name__ == "__main__":
    drawn = {
        "icon-192.png": draw(192, tile=True),
        "icon-512.png": draw(512, tile=True),
        "icon-mask-512.png": draw(512, tile=False, scale=0.8),
        "icon-180.png": draw(180, tile=False),  # Apple rounds the corners by itself
        "badge-96.png": draw(96, tile=True, badge=True, scale=1.25),
    }
    for name, data in drawn.items():
        (FOLDER / name).write_bytes(data)
