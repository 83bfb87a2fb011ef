"""What the `carbon` command shows as a table."""

from rich.table import Table
from rich.text import Text

from carbon.baseline import Baseline


def baseline_table(baseline: Baseline) -> Table:
    """Show an idle machine: each device's power, its band and how it was measured."""
    table = Table(title=f"{baseline.hostname} idle, over {baseline.duration_s:.1f} s")
    for name in ("Device", "Name"):
        table.add_column(name)
    table.add_column("Power", justify="right")
    table.add_column("Method")
    for device in baseline.devices:
        band_w = device.power_w * device.uncertainty
        table.add_row(
            Text(device.key),
            Text(device.name or ""),
            f"{device.power_w:.1f} ± {band_w:.1f} W",
            Text(device.method),
        )
    return table
