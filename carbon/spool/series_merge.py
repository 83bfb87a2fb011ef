"""From the series that the parts of a run have recorded to those of its report."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import ValidationError

from carbon.schema import MAX_POINTS, SeriesName, SeriesReport
from carbon.spool.series import PartSeries, Series

log = logging.getLogger("carbon")

MAX_REPORT_POINTS = 500_000
"""Points that all series of a report have together at most: 16 GPUs of which everything is recorded
have 142,000. A point takes up to 11 bytes, and a report must stay below the size that the API
takes. With more devices than that every series is made coarser."""

Node = tuple[int, str]
"""Attempt and host name."""


def merge_series(
    parts: Sequence[PartSeries], began_at: Mapping[str, datetime]
) -> dict[Node, list[SeriesReport]]:
    """Bring together what the parts have recorded, by attempt and host.

    A device that one process read after another had left makes one series.

    Args:
        parts: in any order.
        began_at: when each host entered the run, by its name: the moment that times are told from.
    """
    found: dict[tuple[Node, SeriesName, str | None], list[Series]] = {}
    for part in parts:
        began = began_at.get(part.hostname, part.started_at)
        shift_s = max((part.started_at - began).total_seconds(), 0.0)
        for one in part.recorded:
            key = (part.attempt, part.hostname), one.name, one.device_uuid
            found.setdefault(key, []).append(one.series.shifted(shift_s))
    max_points = max(MAX_REPORT_POINTS // max(len(found), 1), 1)
    reports: dict[Node, list[SeriesReport]] = {}
    for (node, name, device_uuid), shares in found.items():
        series = _joined(shares)
        while len(series) > min(max_points, MAX_POINTS):
            series.widen()
        try:
            report = series.report(name, device_uuid)
        except ValidationError as error:  # Of a damaged file; the energies are to arrive anyway.
            log.warning("%s of %s is left out of the report: %s", name, device_uuid or node, error)
            continue
        if report is not None:
            reports.setdefault(node, []).append(report)
    return reports


def _joined(shares: Sequence[Series]) -> Series:
    if len(shares) == 1:
        return shares[0]
    joined = Series(
        min(series.start_s for series in shares), max(series.interval_s for series in shares)
    )
    for series in sorted(shares, key=lambda series: series.start_s):
        joined.add_all(series)
    return joined
