"""The results as they are kept and shown: rows of measures, a column for each tool."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from benchmarks.summary import Summary

MISSING = "–"


@dataclass(frozen=True)
class Row:
    """One measure of every tool.

    Attributes:
        section: what it belongs to, one of those in `benchmarks.report`.
        measure, unit: what it is.
        cells: by tool's name; a text says why there is no figure.
        decimals: how many are shown.
    """

    section: str
    measure: str
    unit: str
    cells: Mapping[str, Summary | str] = field(default_factory=dict)
    decimals: int = 1

    def document(self) -> dict[str, Any]:
        """Return the row as JSON takes it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a row back."""
        cells = {
            tool: cell if isinstance(cell, str) else Summary(**cell)
            for tool, cell in document["cells"].items()
        }
        return cls(**{**document, "cells": cells})


def shown(cell: Summary | str | None, decimals: int) -> str:
    """Return a cell as the table shows it: `median (low to high)`."""
    if cell is None:
        return MISSING
    if isinstance(cell, str):
        return cell
    value, low, high = (f"{number:,.{decimals}f}" for number in (cell.value, cell.low, cell.high))
    return value if low == high else f"{value} ({low} to {high})"


def markdown(rows: Sequence[Row], tools: Sequence[str], titles: Mapping[str, str]) -> str:
    """Return rows as one table of GitHub's Markdown; `titles` are the columns' headings."""
    head = ["", *(titles[tool] for tool in tools)]
    lines = [head, ["---", *("---:" for _ in tools)]]
    for row in rows:
        name = f"{row.measure}, {row.unit}" if row.unit else row.measure
        lines.append([name, *(shown(row.cells.get(tool), row.decimals) for tool in tools)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
