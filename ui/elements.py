"""The pieces pages are made of, as HTML. Whatever a user wrote is escaped here, and only here.

Every function that takes text takes it raw; a `Markup` is what has been escaped already.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NewType
from urllib.parse import urlencode

import streamlit as st

Markup = NewType("Markup", str)

NO_BREAK = "\N{NO-BREAK SPACE}"
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=[^\W\d]|[%×°])|(?<=[±×]) (?=\d)")


@dataclass(frozen=True)
class Figure:
    """One number with its name and, below it, how it was made.

    `value` is the exact figure in the unit of the wire model, for whoever reads the page by a
    program; None where unknown.
    """

    key: str
    name: str
    text: str
    value: float | None
    notes: Sequence[str] = ()
    icon: str | None = None


def show(*parts: Markup) -> None:
    """Put markup on the page."""
    st.html("".join(parts))


def text(raw: str) -> Markup:
    """Make text that stands on the page as it is written."""
    return Markup(escape(raw))


def paragraph(raw: str, kind: str = "note") -> Markup:
    """Make a paragraph: kind is `note`, `lead`, `verdict`, `caveat` or `warning`."""
    return Markup(f'<p class="cl-{kind}">{_kept_together(raw)}</p>')


def instruction(raw: str, kind: str = "lead") -> Markup:
    """Make a paragraph that says what to do; what stands between backticks is set as code."""
    parts = _kept_together(raw).split("`")
    set_as_code = [f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts)]
    return Markup(f'<p class="cl-{kind}">{"".join(set_as_code)}</p>')


def heading(raw: str, subtitle: str = "") -> Markup:
    """Make a section's heading, with a sentence on what the section tells."""
    below = f'<p class="cl-note">{escape(subtitle)}</p>' if subtitle else ""
    return Markup(f'<h2 class="cl-heading">{escape(raw)}</h2>{below}')


def figures(items: Iterable[Figure], title: str = "") -> Markup:
    """Make a group of figures that stand side by side where there is room."""
    head = f'<h3 class="cl-group-title">{escape(title)}</h3>' if title else ""
    cells = "".join(_figure(item) for item in items)
    return Markup(
        f'<section class="cl-group">{head}<div class="cl-figures">{cells}</div></section>'
    )


def _figure(item: Figure) -> str:
    return (
        f'<div class="cl-figure" data-figure="{escape(item.key)}">'
        f'<div class="cl-figure-name">{escape(item.name)}</div>'
        f'<data class="cl-figure-value" value="{_exact(item.value)}">{escape(item.text)}</data>'
        f"{_notes(item)}</div>"
    )


def _notes(item: Figure) -> str:
    return "".join(f'<div class="cl-figure-note">{_kept_together(n)}</div>' for n in item.notes)


def _kept_together(raw: str) -> str:
    """Escape a text in which no line may break between a number and its unit or sign."""
    return _BEFORE_UNIT.sub(NO_BREAK, escape(raw))


def _exact(value: float | None) -> str:
    return "" if value is None else repr(value)


def cards(items: Iterable[Figure]) -> Markup:
    """Make figures with icons in which the value comes first and its name reads on from it."""
    cells = "".join(
        f'<div class="cl-card" data-figure="{escape(item.key)}">'
        f'<span class="cl-icon cl-icon-{item.icon}" aria-hidden="true"></span><div>'
        f'<data class="cl-card-value" value="{_exact(item.value)}">{escape(item.text)}</data>'
        f'<div class="cl-card-name">{escape(item.name)}</div>{_notes(item)}</div></div>'
        for item in items
    )
    return Markup(f'<div class="cl-cards">{cells}</div>')


def details(summary: str, lines: Iterable[str]) -> Markup:
    """Make lines that stay folded until they are asked for."""
    body = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return Markup(
        f'<details class="cl-details"><summary>{escape(summary)}</summary><ul>{body}</ul></details>'
    )


def facts(items: Iterable[tuple[str, str]]) -> Markup:
    """Make a list of named values."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in items)
    return Markup(f'<dl class="cl-facts">{rows}</dl>')


def table(
    key: str, columns: Sequence[str], rows: Iterable[Sequence[Markup]], numeric: Sequence[int] = ()
) -> Markup:
    """Make a table; on a narrow screen each row becomes a block with its columns named.

    `numeric` are the positions of the columns that are set flush right.
    """
    head = "".join(
        f'<th scope="col"{_flush(position, numeric)}>{escape(name)}</th>'
        for position, name in enumerate(columns)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-column="{escape(columns[position])}"{_flush(position, numeric)}>{cell}</td>'
            for position, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return Markup(
        f'<table class="cl-table" data-table="{escape(key)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def bar(raw: str, value: float | None, longest: float, note: str = "") -> Markup:
    """Make a text with a bar under it in proportion to `value`; none where it is unknown.

    A `note` is a smaller remark between the two.
    """
    written = with_note(raw, note) if note else text(raw)
    if value is None or longest <= 0:
        return written
    width = 100 * value / longest
    drawn = f'<span class="cl-bar"><span style="width:{width:.1f}%"></span></span>'
    return Markup(f"<span>{written}</span>{drawn}")


def link(raw: str, **query: str) -> Markup:
    """Make a link to a view of this dashboard, named by its query parameters."""
    return Markup(f'<a href="?{escape(urlencode(query))}">{escape(raw)}</a>')


def status(name: str, said: str = "") -> Markup:
    """Make a status: a sign whose shape tells it as well as its colour, and its name or words."""
    return Markup(f'<span class="cl-status cl-status-{escape(name)}">{escape(said or name)}</span>')


def status_key(names: Iterable[str], others: str) -> Markup:
    """Make a caption that tells which sign stands for which status, with other words behind it."""
    signs = "".join(status(name) for name in names)
    return Markup(f'<p class="cl-caption cl-status-key">{signs}<span>{escape(others)}</span></p>')


def with_note(raw: str, note: str) -> Markup:
    """Make a value with a smaller remark below, if there is one."""
    if not note:
        return text(raw)
    return Markup(f'{escape(raw)}<span class="cl-cell-note">{_kept_together(note)}</span>')


def _flush(position: int, numeric: Sequence[int]) -> str:
    return ' class="cl-number"' if position in numeric else ""


def brand() -> Markup:
    """Make the line that names the product."""
    return Markup(
        '<div class="cl-brand"><span class="cl-icon cl-icon-leaf" aria-hidden="true"></span>'
        "Carbon Ledger</div>"
    )


def title(raw: str) -> Markup:
    """Make the page's title."""
    return Markup(f'<h1 class="cl-title">{escape(raw)}</h1>')


def project_name(raw: str) -> Markup:
    """Make the heading that names the project, with the way back to all of them."""
    return Markup(
        f'<a class="cl-back" href="?">← All projects</a><h2 class="cl-project">{escape(raw)}</h2>'
    )


def subheading(raw: str) -> Markup:
    """Make the heading of a part of a section."""
    return Markup(f'<h3 class="cl-group-title">{escape(raw)}</h3>')


def status_line(name: str, raw: str) -> Markup:
    """Make a line that names a run and tells its status."""
    return Markup(f'<p class="cl-status-line"><strong>{escape(raw)}</strong>{status(name)}</p>')


def columns(groups: Iterable[tuple[str, Sequence[tuple[str, str]]]]) -> Markup:
    """Make titled lists of named values, side by side where there is room, without empty ones."""
    cells = "".join(
        f'<section><h3 class="cl-group-title">{escape(name)}</h3>{facts(items)}</section>'
        for name, items in groups
        if items
    )
    return Markup(f'<div class="cl-columns">{cells}</div>')
