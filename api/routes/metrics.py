"""`/metrics`: for Prometheus."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import PlainTextResponse

from api.auth import Reading
from api.metrics import ServiceMetrics

router = APIRouter(tags=["operations"])


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(
    access: Reading, service: ServiceMetrics, accept: Annotated[str, Header()] = ""
) -> Response:
    """Give the service's own metrics, and every project's energy in kWh and emissions in kg.

    A key that asks for them is for all projects: the service's counts are of all together.
    """
    access.require_all_projects("metrics are")
    page, media_type = service.page(accept)
    return Response(page, headers={"Content-Type": media_type})
