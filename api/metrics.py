"""What Prometheus reads: how this service does, and what the projects in its ledger have drawn.

With one process the counts are in its memory. With several each keeps its own in files under
PROMETHEUS_MULTIPROC_DIR, and whichever is asked adds them all up.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

import psutil
from fastapi import Depends, Request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Engine, event
from sqlalchemy.pool import QueuePool

from api.project_metrics import ProjectCollector
from api.reports import Outcome
from api.workers import SHARED_COUNTS

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})

# From one indexed row to a scan of everything.
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The service's own counts, and the page on which they stand beside the projects'."""

    def __init__(self, engine: Engine) -> None:
        """Count what is done with `engine` too: which of its connections are in use."""
        disable_created_metrics()  # They double the page, and Prometheus' text has no use for them.
        self._shared = os.environ.get(SHARED_COUNTS)
        self._own = CollectorRegistry()
        self._ledger = ProjectCollector(engine)
        # Counts that are shared are collected from the files, not from the objects.
        registry = None if self._shared else self._own
        if not self._shared:
            ProcessCollector(registry=self._own)
        self.in_flight = Gauge(
            "carbon_http_requests_in_flight",
            "Requests that are being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._requests = Counter(
            "carbon_http_requests",
            "Requests, by the template of their route; status is 0 where no answer could be sent.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._durations_s = Histogram(
            "carbon_http_request_duration_seconds",
            "Time until the last byte of the answer.",
            ["method", "route"],
            registry=registry,
            buckets=_BUCKETS_S,
        )
        self._stored = Counter(
            "carbon_reports_stored",
            "Reports that were accepted: of a new run (created), not older than the one held "
            "(updated), or older and left (outdated).",
            ["outcome"],
            registry=registry,
        )
        for outcome in get_args(Outcome):
            self._stored.labels(outcome)
        self._watch(engine, registry)

    def answered(self, method: str, route: str, status: int | None, duration_s: float) -> None:
        """Count a request."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, status or 0).inc()
        self._durations_s.labels(known, route).observe(duration_s)

    def stored(self, outcome: Outcome) -> None:
        """Count a report that is committed."""
        self._stored.labels(outcome).inc()

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return the page in the format that the `Accept` header prefers, and its media type."""
        encode, media_type = choose_encoder(accept)
        registry = _Several([self._own, self._ledger])
        if self._shared:
            _forget_the_dead(Path(self._shared))
            registry.parts.append(MultiProcessCollector(None, path=self._shared))
        return encode(registry), media_type

    def leave(self) -> None:
        """Take what only counts while this process lives out of what is shared."""
        if self._shared:
            mark_process_dead(os.getpid(), self._shared)

    def _watch(self, engine: Engine, registry: CollectorRegistry | None) -> None:
        in_use = Gauge(
            "carbon_database_connections_in_use",
            "Connections to the database that are in use.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        size = Gauge(
            "carbon_database_connections_kept",
            "Connections to the database that are kept open at most while none is in use.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        if isinstance(engine.pool, QueuePool):
            size.set(engine.pool.size())
        event.listen(engine, "checkout", lambda *_: in_use.inc())
        event.listen(engine, "checkin", lambda *_: in_use.dec())


class _Several(CollectorRegistry):
    """Collectors that are asked one after the other, without being asked for names first."""

    def __init__(self, parts: list[Any]) -> None:
        super().__init__()
        self.parts: list[CollectorRegistry | Collector] = parts

    def collect(self) -> Iterable[Metric]:
        for part in self.parts:
            yield from part.collect()


def _forget_the_dead(directory: Path) -> None:
    """Drop what a process that was killed had in flight."""
    for path in directory.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, str(directory))


async def _metrics_of(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


ServiceMetrics = Annotated[Metrics, Depends(_metrics_of)]
"""The metrics of the app that answers the request."""
