"""Writing a report: the page, every chart as pictures, every table as CSV."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from carbon.errors import UsageError
from carbon.report.content import Content
from carbon.report.figures import Figure
from carbon.report.page import html_page
from carbon.report.style import for_file, vega_lite_version

PAGE = "report.html"
_PNG_SCALE = 2.0


def write_report(content: Content, directory: Path, formats: Sequence[str]) -> Iterator[Path]:
    """Write a report into a directory and yield each file once it is there.

    `report.html`, `charts/NAME.FORMAT` and `tables/NAME.csv`; files of these names are
    replaced, and what else an earlier report wrote there is removed: it would pass for this one's.

    Raises:
        UsageError: they cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        page = directory / PAGE
        _remove_earlier(page)
        page.write_text(html_page(content), encoding="utf-8")
        yield page
        (directory / "tables").mkdir(exist_ok=True)
        for table in content.tables:
            path = directory / "tables" / f"{table.name}.csv"
            path.write_text(table.csv(), encoding="utf-8", newline="")
            yield path
        if formats and content.figures:
            (directory / "charts").mkdir(exist_ok=True)
        for figure in content.figures if formats else ():
            svg = _svg(figure)
            for form in formats:
                path = directory / "charts" / f"{figure.name}.{form}"
                path.write_bytes(_picture(svg, form))
                yield path
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror}") from error


def _remove_earlier(page: Path) -> None:
    """Remove the charts and tables of the report that is there, as its page names them."""
    if not page.exists():
        return
    earlier = page.read_text(encoding="utf-8", errors="replace")
    charts = re.findall(r'<figure id="([\w-]+)">', earlier)
    tables = re.findall(r'<details id="table-([\w-]+)"', earlier)
    patterns = [f"charts/{name}.*" for name in charts] + [f"tables/{name}.csv" for name in tables]
    for pattern in patterns:
        for path in page.parent.glob(pattern):
            path.unlink()


def _svg(figure: Figure) -> str:
    import vl_convert

    # What is made here is valid, as the tests show; to check it takes long.
    spec = for_file(figure.chart, figure.title).to_dict(validate=False)
    return vl_convert.vegalite_to_svg(spec, vl_version=vega_lite_version())


def _picture(svg: str, form: str) -> bytes:
    import vl_convert

    if form == "png":
        return vl_convert.svg_to_png(svg, scale=_PNG_SCALE)
    return vl_convert.svg_to_pdf(svg) if form == "pdf" else svg.encode()
