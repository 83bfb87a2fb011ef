"""The table of what the hardware did in each configuration, and where its time went."""

from collections.abc import Sequence

from carbon.analysis.run_means import MEASURES
from carbon.report import tables
from carbon.report.tables import Table
from carbon.schema import TradeoffPoint

_COLUMNS = (
    tables.number("Throughput (samples/s)", "throughput_per_s"),
    tables.energy("Energy per sample", "energy_per_sample_kwh"),
    tables.number("GPU (%)", "gpu_utilization_percent"),
    tables.number("CPU (%)", "cpu_utilization_percent"),
    tables.number("CPU (MHz)", "cpu_frequency_mhz"),
    tables.number("Sent (MB/s)", "network_sent_mb_per_s"),
    tables.number("Received (MB/s)", "network_received_mb_per_s"),
    tables.percent("Computation", "compute_share"),
    tables.percent("Hidden comm.", "overlapped_communication_share"),
    tables.percent("Exposed comm.", "exposed_communication_share"),
    tables.percent("Idle", "idle_share"),
)
_NOTE = (
    "Utilisation and frequency are means over devices and hosts, traffic is the sum over hosts. "
    "Computation, communication and idle time are shares of the profiled steps."
)


def hardware_table(points: Sequence[TradeoffPoint]) -> Table:
    """Return a line for each configuration, with a column for what any of them has measured.

    Without such a column it has no lines.
    """
    dumped = [point.model_dump(mode="json") for point in points]
    measured = [c for c in _COLUMNS if any(c.show(row) != tables.UNKNOWN for row in dumped)]
    names = ["strategy", "workers"]
    names += [name for measure in MEASURES for name in (measure, f"{measure}_stdev")]
    rows = [{name: row[name] for name in names} for row in dumped] if measured else []
    columns = [tables.CONFIGURATION, *measured]
    return Table("hardware", "Where the time went", columns, rows, _NOTE)
