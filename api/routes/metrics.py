"""`/metrics`: for Prometheus."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import PlainTextResponse

from api.metrics import ServiceMetrics

router = APIRouter(tags=["operations"])


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(service: ServiceMetrics, accept: Annotated[str, Header()] = "") -> Response:
    """Give the service's own metrics, and every project's energy in kWh and emissions in kg."""
    page, media_type = service.page(accept)
    return Response(page, headers={"Content-Type": media_type})
