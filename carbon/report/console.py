"""The report as text on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Shown
from rich.text import Text

from carbon.report.content import Content
from carbon.report.tables import Table

# Too long for a terminal; they are on the page and in files.
_NOT_SHOWN = frozenset({"learning-curves", "runs"})

_Cells = Sequence[Sequence[str]]

_BORDER = 3
"""Blanks around a column,"""

_EDGE = 1
"""and one more for the table."""

_LONGEST_FIGURE = 30
"""What is longer is a sentence, and may be broken between words."""


def show(content: Content, console: Console) -> None:
    """Write the notices, the answers and the tables."""
    console.print(Text(f"Study {content.study.name}", style="bold"))
    console.print(Text(content.about, style="dim"))
    for notice in content.notices:
        console.print(Text(f"! {notice}", style="yellow"))
    for table in content.tables:
        if table.name not in _NOT_SHOWN:
            console.print()
            cells = table.cells()
            least = _least_widths(table, cells)
            for columns in _side_by_side(least, console.width):
                widths = _widths(table, cells, {at: least[at] for at in columns}, console.width)
                console.print(_shown(table, cells, widths))
            if table.note:
                console.print(Text(table.note, style="dim"))
    if content.answers:
        console.print()
    for question, answer in content.answers:
        console.print(Text(f"{question}:", style="bold"))
        console.print(Padding(Text(answer), (0, 0, 0, 2)))


def _side_by_side(least: Sequence[int], width: int) -> list[list[int]]:
    """Divide the columns into groups that fit a terminal, each with the first column before it."""
    widths = [_BORDER + each for each in least]
    groups: list[list[int]] = [[0]]
    for position in range(1, len(widths)):
        needed = sum(widths[i] for i in (*groups[-1], position)) + _EDGE
        if len(groups[-1]) > 1 and needed > width:
            groups.append([0])
        groups[-1].append(position)
    return groups


def _least_widths(table: Table, cells: _Cells) -> list[int]:
    """Return the width of each column in which nothing is broken that must not be."""
    return [
        max(len(part) for part in (*column.heading.split(), *_parts(cells, position)))
        for position, column in enumerate(table.columns)
    ]


def _parts(cells: _Cells, position: int) -> list[str]:
    """Return what must not be broken in a column: figures, and the words of a sentence."""
    column = [row[position] for row in cells]
    is_sentence = position > 0 and max(map(len, column), default=0) > _LONGEST_FIGURE
    return [part for cell in column for part in (cell.split() if is_sentence else [cell])]


def _widths(table: Table, cells: _Cells, least: dict[int, int], width: int) -> dict[int, int]:
    """Divide the width of a terminal among columns: each its least, then the rest of its lines."""
    widths = dict(least)
    spare = width - _EDGE - sum(_BORDER + each for each in least.values())
    for position in least:
        column = (table.columns[position].heading, *(row[position] for row in cells))
        more = max(min(max(map(len, column)) - least[position], spare), 0)
        widths[position] += more
        spare -= more
    return widths


def _shown(table: Table, cells: _Cells, widths: dict[int, int]) -> Shown:
    title = table.title if 1 in widths else None
    shown = Shown(title=title and Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    for position, width in widths.items():
        column = table.columns[position]
        shown.add_column(
            Text(column.heading),
            justify="right" if column.is_number else "left",
            overflow="fold",
            width=width,
            no_wrap=position == 0,  # The name of what a line is of stays whole.
        )
    for row in cells:
        shown.add_row(*(Text(row[position]) for position in widths))
    return shown
