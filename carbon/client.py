"""The REST client: delivers reports, reads summaries. Every call has a timeout and a deadline."""

from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import TypeAdapter, ValidationError

from carbon.deadline import Deadline
from carbon.errors import ApiError, ApiRejectedError, ApiUnreachableError
from carbon.leaving import at_work
from carbon.schema import (
    Accepted,
    GridFactor,
    Health,
    ProjectTotals,
    RunPage,
    RunReport,
    Summary,
    Tradeoff,
)
from carbon.settings import Settings

T = TypeVar("T")

DEADLINE_S = 60.0
"""How long a whole request may take,"""

SLOWEST_BYTES_PER_S = 10_000
"""and with how much more patience a large report is sent."""

# A refusal that asking again later may lift: request timeout, too many requests.
_TEMPORARY_REFUSALS = frozenset({408, 425, 429})


class Client:
    """A connection to the API at `settings.api_url`; use it as a context manager or `close` it.

    Every method raises `ApiUnreachableError` where the API gave no usable answer and
    `ApiRejectedError` where it refused for good.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timeout_s: float = 10.0,
        deadline_s: float = DEADLINE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._deadline_s = deadline_s
        headers = {"User-Agent": "carbon-ledger"}
        if settings.api_key_text:
            headers["Authorization"] = f"Bearer {settings.api_key_text}"
        self._base_url = settings.base_url
        self._http = httpx.Client(
            base_url=self._base_url,
            headers=headers,
            timeout=timeout_s,
            transport=transport,
            # A deadline needs to see the connection made.
            limits=httpx.Limits(max_keepalive_connections=0),
            # The ledger is usually on loopback, which no proxy reaches.
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def put_run(self, report: RunReport) -> Accepted:
        """Deliver a report. Safe to repeat: the server keeps the highest sequence number."""
        return self.put_document(report.run_id, report.model_dump_json())

    def put_document(self, run_id: UUID, document: str) -> Accepted:
        """Deliver a report that has been written as JSON already."""
        return self._call(
            Accepted,
            "PUT",
            f"/v1/runs/{run_id}",
            content=document,
            headers={"Content-Type": "application/json"},
        )

    def run(self, run_id: UUID, *, with_series: bool = True) -> RunReport:
        """Read one run, whole, or without what it recorded over time."""
        parameters = {} if with_series else {"series": "false"}
        return self._call(RunReport, "GET", f"/v1/runs/{run_id}", params=parameters)

    def runs(
        self,
        *,
        project: str | None = None,
        study: str | None = None,
        strategy: str | None = None,
        status: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> RunPage:
        """Read one page of runs, newest first; pass `next_cursor` on to read the next."""
        filters = {
            "project": project,
            "study": study,
            "strategy": strategy,
            "status": status,
            "limit": limit,
            "cursor": cursor,
        }
        given = {key: value for key, value in filters.items() if value is not None}
        return self._call(RunPage, "GET", "/v1/runs", params=given)

    def projects(self) -> list[ProjectTotals]:
        """Read every project's totals, the most recently used first."""
        return self._call(list[ProjectTotals], "GET", "/v1/projects")

    def summary(self, project: str | None = None) -> Summary:
        """Read the summary of a project, or of everything."""
        if project is None:
            return self._call(Summary, "GET", "/v1/summary")
        return self._call(Summary, "GET", f"/v1/projects/{_quote(project)}/summary")

    def tradeoff(self, project: str) -> Tradeoff:
        """Read what each speedup of a project's studies cost in energy."""
        return self._call(Tradeoff, "GET", f"/v1/projects/{_quote(project)}/tradeoff")

    def grid(self) -> list[GridFactor]:
        """Read the carbon intensity of every country and region that is known."""
        return self._call(list[GridFactor], "GET", "/v1/grid")

    def is_healthy(self) -> bool:
        """Tell whether the API answers."""
        try:
            self.health()
        except ApiError:
            return False
        return True

    def health(self) -> Health:
        """Ask whether the API answers, and which reports it understands."""
        return self._call(Health, "GET", "/healthz")

    def _call(self, shape: type[T], method: str, path: str, **options: Any) -> T:
        allowed_s = self._deadline_s + len(options.get("content", "")) / SLOWEST_BYTES_PER_S
        deadline = Deadline(allowed_s)
        try:
            with deadline:
                response = self._http.request(
                    method, path, extensions={"trace": deadline.trace}, **options
                )
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            if deadline.has_passed:
                reason = f"not within {allowed_s:.0f} s"
            raise ApiUnreachableError(
                f"the API at {self._base_url} does not answer ({reason}); "
                "start it with `carbon serve`, or set CARBON_API_URL"
            ) from error
        if response.is_success:
            try:
                with at_work():
                    return TypeAdapter(shape).validate_json(response.content)
            except ValidationError as error:
                raise ApiUnreachableError(
                    f"{self._base_url}{path} did not answer as a ledger does; is CARBON_API_URL "
                    "the ledger's address?"
                ) from error
        problem = _problem(response)
        detail = problem.get("detail") or response.reason_phrase
        message = f"the API at {self._base_url} answered {response.status_code}: {detail}"
        if response.is_client_error and response.status_code not in _TEMPORARY_REFUSALS:
            raise ApiRejectedError(message, response.status_code, problem)
        raise ApiUnreachableError(message, response.status_code)


def _quote(segment: str) -> str:
    from urllib.parse import quote

    return quote(segment, safe="")


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
