"""`/v1/runs`: delivering reports, alone or many at once."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from api.access import Access
from api.auth import Ingesting
from api.bodies import BatchBody, Body, report_in, reports_in
from api.ingest import Ingest
from api.metrics import ServiceMetrics
from api.problems import ProblemError
from carbon.schema import MAX_BATCH, Accepted, BatchAnswer, BatchResult, RunReport

router = APIRouter(prefix="/runs", tags=["runs"])


async def _ingest_of(request: Request) -> Ingest:
    ingest: Ingest = request.app.state.ingest
    return ingest


Queue = Annotated[Ingest, Depends(_ingest_of)]


def _body_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe a body that is read by hand."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_REPORT: dict[str, Any] = {"$ref": "#/components/schemas/RunReport"}
# An item that is no report is refused by itself, and the batch is not.
_ITEM = {"anyOf": [_REPORT, {}], "description": "A report; what is none is refused alone."}
_BATCH: dict[str, Any] = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": _ITEM, "maxItems": MAX_BATCH}},
    "required": ["items"],
    "additionalProperties": False,
}


@router.post("/batch", openapi_extra=_body_of(_BATCH))
async def post_batch(
    access: Ingesting, body: BatchBody, ingest: Queue, service: ServiceMetrics
) -> BatchAnswer:
    """Store up to 1,000 reports in one transaction; the answer has a result for each, in order.

    Each is treated as if it had come alone, by the rules of `PUT /v1/runs/{run_id}`: one that is
    refused does not keep the others out.
    """
    found = [_admitted(report, access) for report in reports_in(body)]
    reports = [report for report in found if not isinstance(report, ProblemError)]
    outcomes = iter(await ingest.store(reports, access) if reports else [])
    results = []
    for report in found:
        if isinstance(report, ProblemError):
            results.append(_refusal(None, report))
            continue
        outcome = next(outcomes)
        if isinstance(outcome, ProblemError):
            results.append(_refusal(report.run_id, outcome))
            continue
        service.stored(outcome.outcome_of(report))
        accepted, status = outcome.accepted, 201 if outcome.created else 200
        results.append(BatchResult(run_id=accepted.run_id, status=status, seq=accepted.seq))
    return BatchAnswer(items=results)


def _admitted(report: RunReport | ProblemError, access: Access) -> RunReport | ProblemError:
    if isinstance(report, ProblemError):
        return report
    try:
        access.require_project(report.project)
    except ProblemError as problem:
        return problem
    return report


def _refusal(run_id: UUID | None, problem: ProblemError) -> BatchResult:
    return BatchResult(run_id=run_id, status=problem.status, problem=problem.document())


@router.put(
    "/{run_id:run}",
    openapi_extra=_body_of(_REPORT),
    responses={201: {"model": Accepted, "description": "The run is new."}},
)
async def put_run(
    access: Ingesting,
    run_id: UUID,
    body: Body,
    ingest: Queue,
    service: ServiceMetrics,
    response: Response,
) -> Accepted:
    """Store a run's report, whole. Safe to repeat: the report with the highest `seq` is kept.

    While a run goes on, its reports have the status `running` and the energy so far. One that says
    in `live_interval_s` when to expect the next, and is not heard of any more, is shown as
    `interrupted` until it is heard of again.

    Nodes of one run may each report their share, with a name of its own as `reporter`. The highest
    `seq` of each is kept, and the run is what the shares make together. A report without a
    `reporter` is of the whole run: next to shares it counts only while it tells of nodes and
    attempts that they do not, and then the shares of nodes it tells of are not added to it.
    """
    report = report_in(body, run_id)
    access.require_project(report.project)
    (stored,) = await ingest.store([report], access)
    if isinstance(stored, ProblemError):
        raise stored
    service.stored(stored.outcome_of(report))
    if stored.created:
        response.status_code = 201
    return stored.accepted
