"""Reading what a request brings: bounded, parsed once, refused with reasons."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from fastapi import Depends, Request
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json
from starlette.requests import ClientDisconnect

from api.bounds import Excess, cut_to_bounds
from api.problems import ProblemError, cut, refused
from api.quick_reading import QuickReader, may_hold_nul
from carbon.schema import MAX_BATCH, RunReport

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_BATCH_BYTES = 64 * 1024 * 1024
MAX_TERMS_BYTES = 8 * 1024 * 1024

_WAYS_OUT = {
    MAX_BODY_BYTES: "log fewer metrics or epochs",
    MAX_BATCH_BYTES: "send fewer reports at once",
    MAX_TERMS_BYTES: "send less at once",
}

_Shape = TypeVar("_Shape", bound=BaseModel)


class _Batch(BaseModel, extra="forbid"):
    items: Annotated[list[Any], Field(max_length=MAX_BATCH)]


class _UnreadBatch(msgspec.Struct, forbid_unknown_fields=True):
    """The same, its items left as they came."""

    items: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_BATCH)]


_unread_batch = msgspec.json.Decoder(_UnreadBatch).decode
_REPORT = QuickReader(RunReport)

# A sender's clock may be wrong, but a run of the far future would stay "the last run" for ever.
_MOST_AHEAD = timedelta(days=1)


def _bounded_by(most_bytes: int) -> Callable[[Request], Awaitable[bytes]]:
    async def body_of(request: Request) -> bytes:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise ProblemError(415, f"the body is encoded as {cut(encoding)!r}; send it as it is")
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > most_bytes:
            raise _too_large(most_bytes)
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    raise _too_large(most_bytes)
        except ClientDisconnect as error:
            raise ProblemError(400, "the connection ended before the body did") from error
        return bytes(body)

    return body_of


Body = Annotated[bytes, Depends(_bounded_by(MAX_BODY_BYTES))]
"""The request's body, of at most `MAX_BODY_BYTES`."""

BatchBody = Annotated[bytes, Depends(_bounded_by(MAX_BATCH_BYTES))]
"""The same of a batch, of at most `MAX_BATCH_BYTES`."""

TermsBody = Annotated[bytes, Depends(_bounded_by(MAX_TERMS_BYTES))]
"""The same of what is no report, of at most `MAX_TERMS_BYTES`."""


def parsed(body: bytes, shape: type[_Shape], whole: str) -> _Shape:
    """Parse a body that is one object; `whole` is what it is called where it is none.

    Raises:
        ProblemError: 400 for what is not JSON, 422 for what is no such object.
    """
    return _read(shape, *cut_to_bounds(body), whole)


def described(shape: type[BaseModel]) -> dict[str, Any]:
    """Describe a body that is read by hand, for the OpenAPI document."""
    schema = shape.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return inline(definitions[part["$ref"].rpartition("/")[2]])
            return {key: inline(value) for key, value in part.items()}
        return [inline(each) for each in part] if isinstance(part, list) else part

    content = {"application/json": {"schema": inline(schema)}}
    return {"requestBody": {"required": True, "content": content}}


def report_in(body: bytes, run_id: UUID) -> RunReport:
    """Parse the report of the run that the path names.

    Raises:
        ProblemError: 400 for what is not JSON, 422 for what is no report of this run.
    """
    report = _report(body)
    if report.run_id != run_id:
        raise _refused(
            "run_id", f"the path names run {run_id}, but the report is of {report.run_id}"
        )
    _check_clock(report)
    return report


def reports_in(body: bytes) -> list[RunReport | ProblemError]:
    """Parse a batch: of each item the report, or why it is none.

    Raises:
        ProblemError: 400 for what is not JSON, 422 for what is no batch.
    """
    with suppress(msgspec.DecodeError, RecursionError):
        return [_checked(partial(_report, bytes(raw))) for raw in _unread_batch(body).items]
    within, excesses = cut_to_bounds(body)
    of_all, of_items = list[Excess](), dict[int, list[Excess]]()
    for excess in excesses:
        match excess.place:
            case ["items", int(number), *place]:
                of_items.setdefault(number, []).append(Excess(tuple(place), excess.message))
            case _:
                of_all.append(excess)
    items = _read(_Batch, within, of_all, whole="batch").items
    return [
        _checked(partial(_read, RunReport, to_json(item), of_items.get(number, []), "report"))
        for number, item in enumerate(items)
    ]


def _checked(read: Callable[[], RunReport]) -> RunReport | ProblemError:
    try:
        report = read()
        _check_clock(report)
    except ProblemError as problem:
        return problem
    return report


def _report(text: bytes) -> RunReport:
    read = None if may_hold_nul(text) else _REPORT.read(text)
    return read or parsed(text, RunReport, "report")


def _check_clock(report: RunReport) -> None:
    for field in ("started_at", "ended_at"):
        moment = getattr(report, field)
        if moment is not None and moment - datetime.now(UTC) > _MOST_AHEAD:
            raise _refused(
                field,
                f"{moment.isoformat()} is more than a day in the future; set the clock of the "
                "machine that trained",
            )


def _read(shape: type[_Shape], text: bytes, excesses: Sequence[Excess], whole: str) -> _Shape:
    """Parse what `cut_to_bounds` left of an object; what that cut out is told among the errors."""
    errors: list[Any] = [
        {"loc": place, "msg": message, "type": "value_error"} for place, message in excesses
    ]
    try:
        read = shape.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        if found[0]["type"] == "json_invalid":
            reason = found[0]["msg"].removeprefix("Invalid JSON: ")
            raise ProblemError(400, f"the body is not JSON: {reason}") from error
        errors += found
    if errors:
        raise refused(errors, whole=whole)
    return read


def _refused(field: str, message: str) -> ProblemError:
    return ProblemError(422, f"{field}: {message}", errors=[{"field": field, "message": message}])


def _too_large(most_bytes: int) -> ProblemError:
    way_out = _WAYS_OUT[most_bytes]
    return ProblemError(413, f"the body is larger than {most_bytes // 1024**2} MiB; {way_out}")
