"""Colours that can be told from what they stand on, by the contrast of WCAG 2.2."""

import re
from pathlib import Path

import altair as alt
import pandas as pd
import pytest

from carbon import palette
from ui import theme
from ui.__main__ import OPTIONS
from ui.drawing import in_ink

STYLE = (Path(theme.__file__).parent / "assets" / "style.css").read_text(encoding="utf-8")
BACKGROUNDS = {name: str(OPTIONS[f"theme.{name}.backgroundColor"]) for name in ("light", "dark")}
SERIES = {
    *theme.COMPONENTS.values(),
    *theme.TRAFFIC.values(),
    *(color for color, _ in palette.STRATEGIES.values()),
}
SIGNS = set(re.findall(r"--sign: (#[0-9a-f]{6});", STYLE))


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("background", BACKGROUNDS.values(), ids=BACKGROUNDS)
@pytest.mark.parametrize("color", sorted(SERIES | SIGNS))
def test_what_is_drawn_stands_out(color: str, background: str) -> None:
    assert contrast(color, background) >= 3


def test_every_status_has_a_sign() -> None:
    assert len(SIGNS) == 4


@pytest.mark.parametrize(
    ("color", "background"),
    [
        (palette.INK, BACKGROUNDS["light"]),
        (theme.INK_ON_DARK, BACKGROUNDS["dark"]),
        ("#FFFFFF", str(OPTIONS["theme.light.primaryColor"])),
        ("#FFFFFF", str(OPTIONS["theme.dark.primaryColor"])),
        *((str(OPTIONS[f"theme.{name}.linkColor"]), BACKGROUNDS[name]) for name in BACKGROUNDS),
    ],
)
def test_what_is_written_can_be_read(color: str, background: str) -> None:
    assert contrast(color, background) >= 4.5


def test_everything_around_the_marks_is_in_ink() -> None:
    chart = alt.Chart(pd.DataFrame({"x": [1]})).mark_bar().encode(x="x:Q")
    found = in_ink(chart, "#123456").to_dict()["config"]
    for part in ("axis", "legend"):
        assert (found[part]["labelColor"], found[part]["titleColor"]) == ("#123456", "#123456")
    assert found["mark"]["color"] == found["text"]["color"] == "#123456"
