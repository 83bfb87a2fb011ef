"""Reading a run report out of a request: bounded, parsed once, refused with reasons."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from api.problems import ProblemError, cut, refused
from carbon.schema import RunReport

MAX_BODY_BYTES = 16 * 1024 * 1024

# A sender's clock may be wrong, but a run of the far future would stay "the last run" for ever.
_MOST_AHEAD = timedelta(days=1)


async def _bounded_body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise ProblemError(415, f"the body is encoded as {cut(encoding)!r}; send it as it is")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise _too_large()
    except ClientDisconnect as error:
        raise ProblemError(400, "the connection ended before the body did") from error
    return bytes(body)


Body = Annotated[bytes, Depends(_bounded_body)]
"""The request's body, of at most `MAX_BODY_BYTES`."""


def report_in(body: bytes, run_id: UUID) -> RunReport:
    """Parse the report of the run that the path names.

    Raises:
        ProblemError: 400 for what is not JSON, 422 for what is no report of this run.
    """
    try:
        report = RunReport.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            raise ProblemError(400, f"the body is not JSON: {_reason(errors[0]['msg'])}") from error
        raise refused(errors, whole="report") from error
    if report.run_id != run_id:
        raise _refused(
            "run_id", f"the path names run {run_id}, but the report is of {report.run_id}"
        )
    for field in ("started_at", "ended_at"):
        moment = getattr(report, field)
        if moment is not None and moment - datetime.now(UTC) > _MOST_AHEAD:
            raise _refused(
                field,
                f"{moment.isoformat()} is more than a day in the future; set the clock of the "
                "machine that trained",
            )
    return report


def _reason(message: str) -> str:
    return message.removeprefix("Invalid JSON: ")


def _refused(field: str, message: str) -> ProblemError:
    return ProblemError(422, f"{field}: {message}", errors=[{"field": field, "message": message}])


def _too_large() -> ProblemError:
    return ProblemError(
        413,
        f"the body is larger than {MAX_BODY_BYTES // 1024**2} MiB; log fewer metrics or epochs",
    )
