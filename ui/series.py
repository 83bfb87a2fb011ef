"""What a run recorded over time, as the data frame that its charts are drawn from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from carbon.schema import NodeReport, SeriesName, SeriesReport

POINTS_SHOWN = 400
"""Points of a line at most: more than a chart is wide would only be slow."""

PANEL_POINTS = 3000
"""Points of a chart at most, as long as no line has fewer than `LEAST_POINTS` for it: each is an
element of the page."""
LEAST_POINTS = 50


@dataclass(frozen=True)
class Panel:
    """One chart: what stands on its axis, and the series in it with what their lines are of."""

    title: str
    unit: str
    lines: dict[SeriesName, str]
    from_zero: bool = True


PANELS = (
    Panel("Power", "W", {"gpu_power": "GPU", "cpu_power": "CPU", "ram_power": "RAM"}),
    Panel("Utilisation", "%", {"gpu_utilization": "GPU", "cpu_utilization": "CPU"}),
    Panel("Memory in use", "GiB", {"gpu_memory": "GPU", "ram_used": "RAM"}),
    Panel("Temperature", "°C", {"gpu_temperature": "GPU"}, from_zero=False),
    Panel("CPU frequency", "MHz", {"cpu_frequency": "CPU"}, from_zero=False),
    Panel("Network", "MB/s", {"network_sent": "Sent", "network_received": "Received"}),
)


def frame(nodes: Sequence[NodeReport]) -> pd.DataFrame:
    """One row a point: `name`, `what` a line is of, `line`, `where`, `at_s` and `value`.

    `at_s` is the middle of the stretch that a point stands for, in seconds since the run began on
    its node.
    """
    names = [name for panel in PANELS for name in panel.lines]
    what = {name: text for panel in PANELS for name, text in panel.lines.items()}
    shown = _points_shown(nodes)
    rows = [
        {
            "name": series.name,
            "what": what[series.name],
            "line": f"{position} {series.device_uuid or ''} {series.name}",
            "where": _where(node, series, of_many=len(nodes) > 1),
            "at_s": at_s,
            "value": value,
        }
        for position, node in enumerate(nodes)
        for series in sorted(node.series, key=lambda series: names.index(series.name))
        for at_s, value in _points(series, shown[series.name])
    ]
    columns = ["name", "what", "line", "where", "at_s", "value"]
    return pd.DataFrame(rows, columns=columns).astype({"at_s": "float64", "value": "float64"})


def _points_shown(nodes: Sequence[NodeReport]) -> dict[SeriesName, int]:
    """Return how many points a line of each name has, for all lines of its chart together."""
    told = Counter(series.name for node in nodes for series in node.series)
    shown: dict[SeriesName, int] = {}
    for panel in PANELS:
        lines = max(sum(told[name] for name in panel.lines), 1)
        most = max(min(POINTS_SHOWN, PANEL_POINTS // lines), LEAST_POINTS)
        shown |= dict.fromkeys(panel.lines, most)
    return shown


def _points(series: SeriesReport, at_most: int) -> Iterator[tuple[float, float | None]]:
    together = -(-len(series.values) // at_most)
    width_s = series.interval_s * together
    for position in range(0, len(series.values), together):
        known = [v for v in series.values[position : position + together] if v is not None]
        at_s = series.start_s + series.interval_s * position + width_s / 2
        yield at_s, sum(known) / len(known) if known else None


def _where(node: NodeReport, series: SeriesReport, *, of_many: bool) -> str:
    """Say whose line it is: the device, and where a run has several nodes or attempts, theirs."""
    whose = "the host"
    if series.device_uuid is not None:
        device = next((d for d in node.devices if d.uuid == series.device_uuid), None)
        known = device is not None and device.index is not None
        whose = f"GPU {device.index}" if known and device else series.device_uuid
    return f"{whose} of {node.hostname}, attempt {node.attempt + 1}" if of_many else whose
