"""Pieces of pages as HTML."""

import pytest

from ui import elements

GAP = elements.NO_BREAK


@pytest.mark.parametrize(
    ("raw", "set_as"),
    [
        ("99 % less", f"99{GAP}% less"),
        ("ddp × 2: 1.9 times", f"ddp ×{GAP}2: 1.9{GAP}times"),
        ("± 27 minutes", f"±{GAP}27{GAP}minutes"),
        ("2023, 4 < 5", "2023, 4 &lt; 5"),
        ("no number", "no number"),
    ],
)
def test_no_line_breaks_between_a_number_and_its_unit(raw: str, set_as: str) -> None:
    assert elements.paragraph(raw) == f'<p class="cl-note">{set_as}</p>'
    assert set_as in elements.with_note("x", raw)
    figure = elements.Figure("key", "name", "1", 1.0, [raw])
    assert set_as in elements.figures([figure])
    assert set_as in elements.cards([figure])


def test_what_stands_between_backticks_is_set_as_code() -> None:
    assert "<code>a &lt; b</code>" in elements.instruction("Run `a < b` once.")
