"""The report as text on a terminal."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Shown
from rich.text import Text

from carbon.report.content import Content
from carbon.report.tables import Table

# Too long for a terminal; they are on the page and in files.
_NOT_SHOWN = frozenset({"learning-curves", "runs"})


def show(content: Content, console: Console) -> None:
    """Write the notices, the answers and the tables."""
    console.print(Text(f"Study {content.study.name}", style="bold"))
    console.print(Text(content.about, style="dim"))
    for notice in content.notices:
        console.print(Text(f"! {notice}", style="yellow"))
    for table in content.tables:
        if table.name not in _NOT_SHOWN:
            console.print()
            console.print(_shown(table))
            if table.note:
                console.print(Text(table.note, style="dim"))
    if content.answers:
        console.print()
    for question, answer in content.answers:
        console.print(Text(f"{question}:", style="bold"))
        console.print(Padding(Text(answer), (0, 0, 0, 2)))


def _shown(table: Table) -> Shown:
    shown = Shown(title=Text(table.title), title_justify="left")
    for position, column in enumerate(table.columns):
        shown.add_column(
            Text(column.heading),
            justify="right" if column.is_number else "left",
            overflow="fold",
            no_wrap=position == 0,  # The name of what a line is of stays whole.
        )
    for cells in table.cells():
        shown.add_row(*(Text(cell) for cell in cells))
    return shown
