"""Light or dark and how large, as the desktop says."""

from __future__ import annotations

import pytest

from borrow.tray.looks import judge


@pytest.mark.parametrize(
    ("environ", "told", "dark"),
    [
        ({}, {}, False),
        ({"GTK_THEME": "Adwaita:dark"}, {}, True),
        ({"BORROW_THEME": "dark"}, {}, True),
        (
            {"BORROW_THEME": "light", "GTK_THEME": "Adwaita-dark"},
            {"scheme": "'prefer-dark'"},
            False,
        ),
        ({}, {"scheme": "'prefer-dark'\n"}, True),
        ({}, {"scheme": "'default'\n"}, False),
        ({}, {"settings": "[Settings]\ngtk-application-prefer-dark-theme = 1\n"}, True),
        ({}, {"settings": "[Settings]\ngtk-application-prefer-dark-theme=0\n"}, False),
        ({}, {"settings": "[Settings]\ngtk-theme-name=Arc-Dark\n"}, True),
        (
            {},
            {"settings": '<property name="ThemeName" type="string" value="Arc-dark"/>'},
            True,
        ),
        ({}, {"settings": '<property name="ThemeName" type="string" value="Greybird"/>'}, False),
    ],
)
def test_the_desktop_says_whether_it_is_dark(
    environ: dict[str, str], told: dict[str, str], dark: bool
) -> None:
    assert judge(environ, told).dark is dark


@pytest.mark.parametrize(
    ("environ", "told", "scale"),
    [
        ({}, {}, 1.0),
        ({}, {"dpi": "144"}, 1.5),
        ({"GDK_DPI_SCALE": "1.25"}, {"dpi": "192"}, 2.5),
        ({}, {"text": "2.0\n"}, 2.0),
        ({}, {"dpi": "192", "text": "2.0"}, 2.0),  # who sets a dpi has multiplied it already
        ({"BORROW_TEXT_SCALE": "2"}, {}, 2.0),
        ({"BORROW_TEXT_SCALE": "1.5"}, {"dpi": "192", "text": "2.0"}, 1.5),
        ({"BORROW_TEXT_SCALE": "99"}, {}, 4.0),
        ({"BORROW_TEXT_SCALE": "0.1"}, {}, 0.8),
        ({"BORROW_TEXT_SCALE": "large"}, {"dpi": "no", "text": "'"}, 1.0),
        ({"BORROW_TEXT_SCALE": "nan"}, {}, 1.0),
    ],
)
def test_text_is_as_large_as_the_desktop_wants(
    environ: dict[str, str], told: dict[str, str], scale: float
) -> None:
    assert judge(environ, told).scale(96.0) == pytest.approx(scale)
