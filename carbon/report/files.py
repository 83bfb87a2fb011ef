"""Writing a report: the page, every chart as pictures, every table as CSV."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from carbon.errors import UsageError
from carbon.report.content import Content
from carbon.report.page import html_page
from carbon.report.style import for_file, vega_lite_version

PAGE = "report.html"
_PNG_SCALE = 2.0


def write_report(content: Content, directory: Path, formats: Sequence[str]) -> Iterator[Path]:
    """Write a report into a directory and yield each file once it is there.

    `report.html`, `charts/NAME.FORMAT` and `tables/NAME.csv`; files of these names are replaced.

    Raises:
        UsageError: they cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        page = directory / PAGE
        page.write_text(html_page(content), encoding="utf-8")
        yield page
        (directory / "tables").mkdir(exist_ok=True)
        for table in content.tables:
            path = directory / "tables" / f"{table.name}.csv"
            path.write_text(table.csv(), encoding="utf-8", newline="")
            yield path
        if formats and content.figures:
            (directory / "charts").mkdir(exist_ok=True)
        for figure in content.figures:
            # What is made here is valid, as the tests show; to check it takes long.
            spec = for_file(figure.chart, figure.title).to_dict(validate=False) if formats else {}
            for form in formats:
                path = directory / "charts" / f"{figure.name}.{form}"
                path.write_bytes(_picture(spec, form))
                yield path
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror}") from error


def _picture(spec: dict[str, Any], form: str) -> bytes:
    import vl_convert

    version = vega_lite_version()
    if form == "png":
        return vl_convert.vegalite_to_png(spec, vl_version=version, scale=_PNG_SCALE)
    if form == "pdf":
        return vl_convert.vegalite_to_pdf(spec, vl_version=version)
    return vl_convert.vegalite_to_svg(spec, vl_version=version).encode()
