"""Rows as CSV, JSON lines and Parquet, written piece by piece: no file is ever held whole."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel
from pydantic_core import to_json

if TYPE_CHECKING:
    import pyarrow

Rows = Sequence[dict[str, Any]]

Kind = Literal["text", "integer", "number", "boolean", "moment", "json"]
"""What a column holds; an id is text, and what has parts is JSON as text."""

# A spreadsheet takes a text that begins with one of these for a formula and carries it out:
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_ROWS_A_GROUP = 20_000


def columns_of(model: type[BaseModel], names: Iterable[str]) -> dict[str, Kind]:
    """Return what the fields of a wire model hold, by name and in this order."""
    return {name: _kind(model.model_fields[name].annotation) for name in names}


def written(format_name: str, columns: dict[str, Kind], chunks: Iterable[Rows]) -> Iterator[bytes]:
    """Yield a file of the rows, in a format of `FORMATS`.

    The first row, or line of headings, is yielded once the first chunk was read, so that what fails
    at once fails before an answer has begun.
    """
    return FORMATS[format_name](columns, chunks)


def _jsonl(columns: dict[str, Kind], chunks: Iterable[Rows]) -> Iterator[bytes]:
    for rows in chunks:
        yield b"".join(to_json(row) + b"\n" for row in rows)


def _csv(columns: dict[str, Kind], chunks: Iterable[Rows]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)  # RFC 4180: lines end with CRLF.
    cells = [(name, _CELLS[kind]) for name, kind in columns.items()]
    writer.writerow(columns)
    for rows in chunks:
        writer.writerows(
            [None if row[name] is None else cell(row[name]) for name, cell in cells] for row in rows
        )
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _parquet(columns: dict[str, Kind], chunks: Iterable[Rows]) -> Iterator[bytes]:
    import pyarrow
    from pyarrow import parquet

    types = {
        "text": pyarrow.string(),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "moment": pyarrow.timestamp("us", tz="UTC"),
        "json": pyarrow.string(),
    }
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for rows in _grouped(chunks):
            writer.write_table(_arrow(columns, schema, rows))
            yield sink.taken()
    yield sink.taken()


def _grouped(chunks: Iterable[Rows]) -> Iterator[Rows]:
    """Yield the rows in numbers that make a good row group."""
    group: list[dict[str, Any]] = []
    for rows in chunks:
        group += rows
        if len(group) >= _ROWS_A_GROUP:
            yield group
            group = []
    yield group


def _arrow(columns: dict[str, Kind], schema: "pyarrow.Schema", rows: Rows) -> "pyarrow.Table":
    import pyarrow

    as_text: dict[Kind, Callable[[Any], str]] = {"text": str, "json": _json_text}
    values = {}
    for name, kind in columns.items():
        held = [row[name] for row in rows]
        if make := as_text.get(kind):
            held = [None if value is None else make(value) for value in held]
        values[name] = held
    return pyarrow.table(values, schema=schema)


class _Sink(io.RawIOBase):
    """A file that gives away what was written to it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def taken(self) -> bytes:
        joined = b"".join(self._parts)
        self._parts.clear()
        return joined


FORMATS: dict[str, Callable[[dict[str, Kind], Iterable[Rows]], Iterator[bytes]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
}


def _kind(annotation: Any) -> Kind:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (each for each in get_args(annotation) if each is not type(None))
        return _kind(annotation)
    if get_origin(annotation) in (dict, list):
        return "json"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "json"
    kinds: dict[Any, Kind] = {
        int: "integer",
        float: "number",
        bool: "boolean",
        datetime: "moment",
        AwareDatetime: "moment",
    }
    return kinds.get(annotation, "text")


def _json_text(value: Any) -> str:
    return to_json(value).decode()


def _safe_text(value: Any) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _moment_text(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


_CELLS: dict[Kind, Callable[[Any], Any]] = {
    "text": _safe_text,
    "integer": int,
    "number": float,
    "boolean": lambda value: "true" if value else "false",
    "moment": _moment_text,
    "json": _json_text,
}
