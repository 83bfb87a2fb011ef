"""Every error the API answers with, as one shape: RFC 9457 problem details."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api import request_id
from api.route_table import RouteTable
from carbon.schema import Problem

MEDIA_TYPE = "application/problem+json"

# An answer must not send a refused body of megabytes back.
_MOST_ERRORS = 20
_LONGEST_MESSAGE = 1000
_LONGEST_FIELD = 200
_LONGEST_INPUT = 80

# What these say of the input is in the message or in the field's name already.
_WITHOUT_INPUT = frozenset({"value_error", "missing", "extra_forbidden", "json_invalid"})


class ProblemError(Exception):
    """Ends a request with a problem document.

    Attributes:
        status: the HTTP status, 4xx or 5xx.
        detail: what is wrong with this request, and the way out.
        errors: for a refused body or parameter, `field` and `message` of each.
        headers: sent with the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors or []
        self.headers = headers

    def document(self) -> Problem:
        """Return the problem document."""
        return Problem(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=cut(self.detail, _LONGEST_MESSAGE + _LONGEST_FIELD),
            errors=self.errors,
            request_id=request_id.current(),
        )

    def response(self) -> Response:
        """Return the problem document as the answer."""
        return Response(
            self.document().model_dump_json(),
            status_code=self.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


def unknown_run(run_id: UUID) -> ProblemError:
    """Make the 404 of a run that is not there, or not there for who asks."""
    return ProblemError(404, f"there is no run {run_id} in this ledger")


def cut(text: str, length: int = _LONGEST_FIELD) -> str:
    """Shorten a text that came from outside to at most `length` characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def refused(errors: Iterable[Mapping[str, Any]], whole: str) -> ProblemError:
    """Make a 422 of pydantic's errors; `whole` names what an error without a place is about.

    An error of `schema_version` comes first: where the versions differ, the others follow from it.
    """
    listed = [
        {
            "field": cut(".".join(str(part) for part in error["loc"]) or whole),
            "message": _message(error),
        }
        for error in errors
    ]
    listed.sort(key=lambda error: error["field"] != "schema_version")
    detail = f"{listed[0]['field']}: {listed[0]['message']}"
    if len(listed) > 1:
        detail += f" (and {len(listed) - 1} more)"
    return ProblemError(422, detail, errors=listed[:_MOST_ERRORS])


def _message(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    if error["type"] not in _WITHOUT_INPUT and isinstance(given, str | int | float | None):
        shown = repr(given[:_LONGEST_INPUT]) if isinstance(given, str) else str(given)
        message += f", got {cut(shown, _LONGEST_INPUT)}"
    return cut(message, _LONGEST_MESSAGE)


def install(app: FastAPI, routes: RouteTable) -> None:
    """Make the app answer its own and the framework's errors as problems.

    What a path can do is taken from `routes`: the framework names the methods of one route only.
    """

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _parameters(request: Request, error: RequestValidationError) -> Response:
        # The first part of a place is where the parameter stood, in the path or in the query, and
        # the last may be which of its values it was, which the message shows anyway.
        found = [
            {**each, "loc": [part for part in each["loc"][1:] if isinstance(part, str)]}
            for each in error.errors()
        ]
        return refused(found, whole="request").response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        path = cut(request.url.path)
        headers = dict(error.headers or {})
        if error.status_code == 404:
            detail = f"there is nothing at {path}; the routes are listed at /docs"
        elif error.status_code == 405:
            allowed = routes.methods(request.url.path)
            headers["Allow"] = ", ".join(allowed)
            possible = f"{' and '.join(allowed)} {'is' if len(allowed) == 1 else 'are'}"
            detail = f"{cut(request.method)} is not possible on {path}, but {possible}"
        else:
            detail = str(error.detail)
        return ProblemError(error.status_code, detail, headers=headers).response()
