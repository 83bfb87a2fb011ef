"""The forms in which a table can be had, and which of them a request wants."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated, Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.problems import ProblemError, cut
from api.tabular import Kind, Rows, columns_of, written

T = TypeVar("T", bound=BaseModel)

MEDIA_TYPES = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}

Format = Annotated[
    str | None,
    # For the schema only: what it cannot be is answered with 406 and not with 422.
    Field(
        description="json, csv, parquet or jsonl; wins over `Accept`.",
        json_schema_extra={"enum": [*MEDIA_TYPES]},
    ),
]
"""What `?format=` can be."""

FORMS: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPES[form]: {} for form in ("csv", "parquet", "jsonl")}}
}
"""What a route answers besides JSON, for the schema."""


def listed_of(names: Iterable[str], most: int | None = None) -> str:
    """Return the pattern of a text that lists some of these names, separated by commas."""
    one = f"({'|'.join(names)})"
    more = "*" if most is None else f"{{0,{most - 1}}}"
    return f"^{one}(,{one}){more}$"


def chosen(request: Request, named: str | None) -> str:
    """Return the format that `?format=` names, else the one that `Accept` ranks first.

    Of equal rank it is JSON, which is also what a request gets that has no wish (RFC 9110,
    section 12.5.1).

    Raises:
        ProblemError: 406, there is no such format, or none that is acceptable.
    """
    if named is not None:
        if named not in MEDIA_TYPES:
            raise _unacceptable(f"format {cut(named)!r}")
        return named
    accept = request.headers.get("accept")
    if not accept:
        return "json"
    best = max(MEDIA_TYPES, key=lambda name: _quality(MEDIA_TYPES[name], accept))
    if not _quality(MEDIA_TYPES[best], accept):
        raise _unacceptable(f"anything that is `Accept: {cut(accept)}`")
    return best


def as_file(
    form: str, model: type[T], first: tuple[str, ...], lines: Sequence[T], name: str
) -> Response:
    """Return lines as a file, some of their fields first."""
    columns = columns_of(model, dict.fromkeys((*first, *model.model_fields)))
    return streamed(form, columns, [rows_of(columns, lines)], name)


def rows_of(columns: Iterable[str], lines: Sequence[BaseModel]) -> Rows:
    """Return what lines have in these columns."""
    return [{name: getattr(line, name) for name in columns} for line in lines]


def streamed(form: str, columns: dict[str, Kind], chunks: Iterable[Rows], name: str) -> Response:
    """Return a table as a file that is written while it is sent.

    What fails with the first chunk, such as a cursor of another list, fails here and is a problem
    document. After that the connection is cut, so that no part is taken for the whole.
    """
    parts = written(form, columns, chunks)
    first = next(parts, b"")
    return StreamingResponse(
        chain([first], parts),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}.{form}"', "Vary": "Accept"},
    )


def _quality(media_type: str, accept: str) -> float:
    """Return how welcome a media type is, 0 to 1: the most specific range that fits says it."""
    found: tuple[int, float] = (-1, 0.0)
    for part in accept.split(","):
        wanted, *parameters = (text.strip().lower() for text in part.split(";"))
        ranges = ["*/*", f"{media_type.partition('/')[0]}/*", media_type]
        if wanted in ranges:
            found = max(found, (ranges.index(wanted), _weight(parameters)))
    return found[1]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def _unacceptable(wish: str) -> ProblemError:
    listed = ", ".join(f"{name} ({media_type})" for name, media_type in MEDIA_TYPES.items())
    return ProblemError(406, f"there is no {wish} here, but {listed}; ask with ?format= or Accept")
