"""Tables of a report: shown with units and few digits, and as CSV with all of them."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carbon import wording

Row = Mapping[str, Any]

UNKNOWN = "–"
"""How a figure that is not known is shown."""


@dataclass(frozen=True)
class Column:
    """A column: its heading, and how a row is shown in it."""

    heading: str
    show: Callable[[Row], str]
    is_number: bool = True


@dataclass(frozen=True)
class Table:
    """Rows to be shown, and to be written as CSV.

    Attributes:
        name: of its file, without an ending.
        note: how to read it.
        rows: figures as they are, in the units that their names say; None is unknown.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    note: str = ""

    def cells(self) -> list[list[str]]:
        """Return every row as it is shown."""
        return [[column.show(row) for column in self.columns] for row in self.rows]

    def csv(self) -> str:
        """Return all fields of all rows as CSV (RFC 4180); what is unknown is left empty."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with io.StringIO(newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([row.get(name) for name in names] for row in self.rows)
            return file.getvalue()


def text(heading: str, key: str) -> Column:
    """A column of words."""
    return Column(heading, lambda row: str(row[key]), is_number=False)


def number(heading: str, key: str, unit: str = "") -> Column:
    """A column of numbers with their spread, where the row has one, and their unit."""

    def show(row: Row) -> str:
        value, stdev = row.get(key), row.get(f"{key}_stdev")
        if value is None:
            return UNKNOWN
        spread = "" if stdev is None else f" ± {wording.spread(stdev)}"
        return f"{wording.number(value)}{spread}{unit}"

    return Column(heading, show)


def energy(heading: str, key: str) -> Column:
    """A column of energies, given in kWh."""
    return _spread(heading, key, wording.energy_with_spread)


def mass(heading: str, key: str) -> Column:
    """A column of masses, given in kg."""
    return _spread(heading, key, wording.mass_with_spread)


def duration(heading: str, key: str) -> Column:
    """A column of durations, given in s."""
    return _spread(heading, key, wording.duration_with_spread)


def percent(heading: str, key: str) -> Column:
    """A column of fractions, shown in percent."""
    return Column(
        heading, lambda row: UNKNOWN if row.get(key) is None else wording.percent(row[key])
    )


def _spread(heading: str, key: str, write: Callable[[float, float | None], str]) -> Column:
    """A column of values that are written with their spread, where the row has one."""
    return Column(
        heading,
        lambda row: UNKNOWN if row.get(key) is None else write(row[key], row.get(f"{key}_stdev")),
    )


CONFIGURATION = Column(
    "Configuration",
    lambda row: wording.configuration(row["strategy"], row["workers"]),
    is_number=False,
)
