"""The report as one HTML file that works offline, opened from disk."""

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources
from string import Template
from typing import Any

from carbon import wording
from carbon.report.content import Content
from carbon.report.figures import Figure
from carbon.report.race import race_data
from carbon.report.style import for_page, vega_lite_version
from carbon.report.tables import Table


def html_page(content: Content) -> str:
    """Return the page: nothing in it, and nothing it does, leads to another file or host."""
    study = content.study
    return Template(_asset("page.html")).substitute(
        title=escape(study.name),
        css=_asset("report.css"),
        heading=escape(study.name),
        about=escape(content.about),
        notices=_notices(content.notices),
        answers=_answers(content.answers),
        tables="\n".join(_table(table, is_open=i == 0) for i, table in enumerate(content.tables)),
        figures="\n".join(_figure(figure) for figure in content.figures),
        race=_race_section(len(study.racers), study.epochs),
        race_data=_json(race_data(study.racers, study.epochs)),
        libraries=_libraries() if content.figures else "",
        race_js=_asset("race.js"),
        page_js=_asset("page.js"),
    )


def _asset(name: str) -> str:
    return resources.files("carbon.report").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _libraries() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    bundle = vl_convert.javascript_bundle(  # type: ignore[call-arg]  # A snippet may be left out.
        vl_version=vega_lite_version()
    )
    # No end of a script may stand within one.
    return bundle.replace("</script", "<\\/script")


def _json(value: Any) -> str:
    """Return JSON that can stand in a page: nothing in it begins a tag."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _notices(notices: Sequence[str]) -> str:
    if not notices:
        return ""
    lines = "".join(f"<li>{escape(notice)}</li>" for notice in notices)
    return f'<section class="notices" aria-label="Notices"><ul>{lines}</ul></section>'


def _answers(answers: Sequence[tuple[str, str]]) -> str:
    if not answers:
        return ""
    lines = "".join(f"<dt>{escape(q)}</dt><dd>{escape(a)}</dd>" for q, a in answers)
    return f'<section><h2>In short</h2><dl class="answers">{lines}</dl></section>'


def _figure(figure: Figure) -> str:
    name, title = escape(figure.name), escape(figure.title)
    return f"""<figure id="{name}">
<h3>{title}</h3>
<div class="chart" role="img" aria-label="{title}. {escape(figure.told)}"></div>
<figcaption>{escape(figure.told)}</figcaption>
<script type="application/json" class="spec">{_json(for_page(figure.chart))}</script>
</figure>"""


def _table(table: Table, *, is_open: bool) -> str:
    heads = "".join(
        f'<th scope="col"{_number(column.is_number)}>{escape(column.heading)}</th>'
        for column in table.columns
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{_number(column.is_number)}>{escape(cell)}</td>"
            for column, cell in zip(table.columns, cells, strict=True)
        )
        + "</tr>"
        for cells in table.cells()
    )
    note = f"<p>{escape(table.note)}</p>" if table.note else ""
    return f"""<details id="table-{escape(table.name)}"{" open" if is_open else ""}>
<summary>{escape(table.title)}</summary>
<div class="wide" tabindex="0" role="region" aria-label="{escape(table.title)}">
<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
{note}</details>"""


def _number(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _race_section(lanes: int, epochs: int) -> str:
    if not lanes:
        return ""
    through = wording.count(epochs, "epoch")
    return Template(_asset("race.html")).substitute(epochs=escape(through))
