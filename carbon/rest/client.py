"""The REST client: delivers reports, reads summaries. Every call has a timeout and a deadline."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack
from uuid import UUID

import httpx
from pydantic import TypeAdapter, ValidationError

from carbon.errors import ApiError, ApiRejectedError, ApiUnreachableError
from carbon.rest.deadline import Deadline
from carbon.rest.leaving import at_work
from carbon.rest.queries import GroupFilters, RunFilters, given
from carbon.schema import (
    Accepted,
    AuditEntry,
    AuditPage,
    Correction,
    Costing,
    FactorTable,
    FactorTableInfo,
    GridFactor,
    GroupPage,
    GroupTotals,
    Health,
    ProjectPage,
    ProjectTotals,
    Recosted,
    RecostOrder,
    RunFields,
    RunPage,
    RunReport,
    Scaling,
    StudyPage,
    StudyTotals,
    Summary,
    Tradeoff,
)
from carbon.settings import Settings, load
from carbon.units import MASS_DECIMALS, add_known

if TYPE_CHECKING:
    from carbon.rest.accounting import Accounting

T = TypeVar("T")
P = TypeVar("P", RunPage, ProjectPage, StudyPage, GroupPage, AuditPage)

DEADLINE_S = 60.0
"""How long a whole request may take,"""

SLOWEST_BYTES_PER_S = 10_000
"""and with how much more patience a large report is sent."""

# A refusal that asking again later may lift: request timeout, too many requests.
_TEMPORARY_REFUSALS = frozenset({408, 425, 429})


_PAGE_LENGTH = 500


class Client:
    """A connection to the API at `settings.api_url`; use it as a context manager or `close` it.

    Every method raises `ApiUnreachableError` where the API gave no usable answer and
    `ApiRejectedError` where it refused for good.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        timeout_s: float = 10.0,
        deadline_s: float = DEADLINE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connect once something is asked.

        Args:
            settings: where the API is, and the key for it; by default those of the process.
            timeout_s: how long each part of an answer is waited for.
            deadline_s: how long a whole request may take, at least.
            transport: what sends requests, by default the network.

        Raises:
            SettingsError: a setting of the process that cannot be used.
        """
        settings = load() if settings is None else settings
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
        return self._send(Accepted, "PUT", f"/v1/runs/{run_id}", document)

    def run(self, run_id: UUID, *, with_series: bool = True) -> RunReport:
        """Read one run, whole, or without what it recorded over time."""
        parameters = {} if with_series else {"series": "false"}
        return self._call(RunReport, "GET", f"/v1/runs/{run_id}", params=parameters)

    def runs(
        self, *, limit: int = 100, cursor: str | None = None, **filters: Unpack[RunFilters]
    ) -> RunPage:
        """Read one page of runs, newest first; pass `next_cursor` on to read the next."""
        asked = {"limit": limit, "cursor": cursor, **filters}
        return self._call(RunPage, "GET", "/v1/runs", params=given(asked))

    def all_runs(self, **filters: Unpack[RunFilters]) -> Iterator[RunFields]:
        """Yield every run that the filters let through, read page by page while they are used."""
        for page in self._pages(RunPage, "/v1/runs", filters):
            yield from page.items

    def export_runs(self, form: str, **filters: Unpack[RunFilters]) -> Iterator[bytes]:
        """Yield a file of all runs that the filters let through, piece by piece.

        Args:
            form: csv, parquet or jsonl.
            filters: which runs, and in which order.
        """
        parameters = given({"format": form, **filters})
        with self._answers(), self._http.stream("GET", "/v1/runs", params=parameters) as response:
            if not response.is_success:
                response.read()
                raise self._refusal(response)
            yield from response.iter_bytes()

    def projects(self) -> list[ProjectTotals]:
        """Read every project's totals, the most recently used first."""
        pages = self._pages(ProjectPage, "/v1/projects", {})
        return [line for page in pages for line in page.items]

    def studies(self, project: str) -> list[StudyTotals]:
        """Read the totals of a project's studies, the most recently used first."""
        pages = self._pages(StudyPage, f"/v1/projects/{quoted(project)}/studies", {})
        return [line for page in pages for line in page.items]

    def summary(self, project: str | None = None) -> Summary:
        """Read the summary of a project, or of everything."""
        if project is None:
            return self._call(Summary, "GET", "/v1/summary")
        return self._call(Summary, "GET", f"/v1/projects/{quoted(project)}/summary")

    def groups(
        self, *keys: str, project: str | None = None, **filters: Unpack[GroupFilters]
    ) -> list[GroupTotals]:
        """Read what runs add up to by one key or two, of a project or of everything.

        Args:
            keys: day, week, month, project, strategy, study, user, status, place, node, gpu_model;
                a line has the fields of these, the others are None.
            project: the one asked for; None is all of them.
            filters: which runs.
        """
        asked = {"group_by": ",".join(keys), **filters}
        path = "/v1/summary" if project is None else f"/v1/projects/{quoted(project)}/summary"
        return [line for page in self._pages(GroupPage, path, asked) for line in page.items]

    def scaling(self, project: str, study: str) -> Scaling:
        """Read what each configuration of a study took and drew."""
        path = f"/v1/projects/{quoted(project)}/studies/{quoted(study)}/scaling"
        return self._call(Scaling, "GET", path)

    def tradeoff(self, project: str) -> Tradeoff:
        """Read what each speedup of a project's studies cost in energy."""
        return self._call(Tradeoff, "GET", f"/v1/projects/{quoted(project)}/tradeoff")

    def correct(self, run_id: UUID, correction: Correction) -> RunFields:
        """Correct fields of a run for good; return the run as it is then."""
        document = correction.model_dump_json(exclude_unset=True)
        return self._send(RunFields, "PATCH", f"/v1/runs/{run_id}", document)

    def delete_run(self, run_id: UUID, reason: str | None = None) -> None:
        """Remove a run and its part in every sum; the audit log keeps what it added up to."""
        given_reason = {} if reason is None else {"reason": reason}
        self._call(type(None), "DELETE", f"/v1/runs/{run_id}", params=given_reason)

    def costings(self, run_id: UUID) -> list[Costing]:
        """Read the figures that a run's emissions have and had, newest first."""
        return self._call(list[Costing], "GET", f"/v1/runs/{run_id}/costings")

    def audit(
        self,
        *,
        project: str | None = None,
        run_id: UUID | None = None,
        since: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """Yield who changed what, newest first, read page by page while it is used."""
        asked = {"project": project, "run_id": run_id and str(run_id), "since": since}
        for page in self._pages(AuditPage, "/v1/audit", asked):
            yield from page.items

    def grid(self, table: str | None = None) -> list[GridFactor]:
        """Read the carbon intensity of every country and region, of a factor table or our own."""
        return self._call(list[GridFactor], "GET", "/v1/grid", params=given({"table": table}))

    def factor_tables(self) -> list[FactorTableInfo]:
        """Read which factor tables there are, the one imported last first."""
        return self._call(list[FactorTableInfo], "GET", "/v1/factor-tables")

    def import_factors(self, table: FactorTable) -> FactorTableInfo:
        """Keep a factor table in the ledger. Safe to repeat."""
        document = table.model_dump_json()
        return self._send(FactorTableInfo, "POST", "/v1/factor-tables", document)

    def recost(self, order: RecostOrder) -> Recosted:
        """Cost runs with a factor table, all that the order is about; return what it came to.

        Each request costs at most `order.limit` runs; what is done when one fails stays done.
        """
        done: list[Recosted] = []
        while not done or done[-1].next_cursor is not None:
            cursor = done[-1].next_cursor if done else order.cursor
            part = order.model_copy(update={"cursor": cursor})
            done.append(self._send(Recosted, "POST", "/v1/recost", part.model_dump_json()))
        return _together(done)

    @property
    def accounting(self) -> "Accounting":
        """Budgets, prices, what-if and footprints, over this connection."""
        from carbon.rest.accounting import Accounting

        return Accounting(self._call)

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

    def _pages(self, shape: type[P], path: str, filters: Mapping[str, Any]) -> Iterator[P]:
        cursor: str | None = None
        while True:
            asked = given({**filters, "limit": _PAGE_LENGTH, "cursor": cursor})
            page = self._call(shape, "GET", path, params=asked)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def _send(self, shape: type[T], method: str, path: str, document: str) -> T:
        headers = {"Content-Type": "application/json"}
        return self._call(shape, method, path, content=document, headers=headers)

    def _call(self, shape: type[T], method: str, path: str, **options: Any) -> T:
        sending_s = len(options.get("content", "")) / SLOWEST_BYTES_PER_S
        deadline = Deadline(self._deadline_s + sending_s)
        with self._answers(deadline), deadline:
            response = self._http.request(
                method, path, extensions={"trace": deadline.trace}, **options
            )
        if response.is_success:
            try:
                with at_work():
                    # An answer without content is None.
                    return TypeAdapter(shape).validate_json(response.content or b"null")
            except ValidationError as error:
                raise ApiUnreachableError(
                    f"{self._base_url}{path} did not answer as a ledger does; is CARBON_API_URL "
                    "the ledger's address?"
                ) from error
        raise self._refusal(response)

    @contextmanager
    def _answers(self, deadline: Deadline | None = None) -> Iterator[None]:
        """Turn what the network did wrong into an error of ours."""
        try:
            yield
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            if deadline is not None and deadline.has_passed:
                reason = f"not within {deadline.total_s:.0f} s"
            raise ApiUnreachableError(
                f"the API at {self._base_url} does not answer ({reason}); "
                "start it with `carbon serve`, or set CARBON_API_URL"
            ) from error

    def _refusal(self, response: httpx.Response) -> ApiRejectedError | ApiUnreachableError:
        problem = _problem(response)
        detail = problem.get("detail") or response.reason_phrase
        message = f"the API at {self._base_url} answered {response.status_code}: {detail}"
        if response.is_client_error and response.status_code not in _TEMPORARY_REFUSALS:
            return ApiRejectedError(message, response.status_code, problem)
        return ApiUnreachableError(message, response.status_code)


def quoted(segment: str) -> str:
    """Return a name as one segment of a path."""
    from urllib.parse import quote

    return quote(segment, safe="")


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _together(parts: list[Recosted]) -> Recosted:
    """Add up the parts of a re-costing."""
    # The masses of a part without new figures are 0, which tells nothing of the other runs.
    weighed = [part for part in parts if part.runs] or parts
    added: dict[str, float | None] = {}
    for name in Recosted.model_fields:
        if name.endswith("_kg"):
            added[name] = add_known([getattr(part, name) for part in weighed], MASS_DECIMALS)
        elif name != "next_cursor":
            added[name] = sum(getattr(part, name) for part in parts)
    return Recosted.model_validate(added)
