"""What the `carbon` command shows as a table."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from carbon.commands.doctor import Diagnosis, Finding
from carbon.tracking.baseline import Baseline

# Signs that every terminal can write.
_SIGNS = {"good": ("ok", "green"), "note": ("!", "yellow"), "bad": ("x", "bold red")}


def baseline_table(baseline: Baseline) -> Table:
    """Show an idle machine: each device's power, its band and how it was measured."""
    table = _table(f"{baseline.hostname} idle, over {baseline.duration_s:.1f} s")
    for device in baseline.devices:
        band_w = device.power_w * device.uncertainty
        table.add_row(
            Text(device.key),
            Text(device.name or ""),
            Text(device.method),
            f"{device.power_w:.1f} ± {band_w:.1f} W",
        )
    return table


def diagnosis_tables(found: Diagnosis) -> Iterator[Table]:
    """Show what is measured and how, then everything else that was looked at."""
    if found.measured:
        table = _table(f"What is measured on {found.hostname}")
        table.add_column("Uncertainty", justify="right")
        for device in found.measured:
            idle_w = device.idle_power_w
            name = "; ".join(filter(None, (device.name, device.note)))
            table.add_row(
                Text(device.key),
                Text(name),
                Text(device.method),
                "" if idle_w is None else f"{idle_w:.1f} W",
                f"± {device.uncertainty:.0%}",
            )
        yield table
    lines = Table.grid(padding=(0, 2))
    for finding in found.findings:
        sign, style = _SIGNS[finding.level]
        lines.add_row(Text(sign, style=style), Text(finding.subject), _said(finding))
    yield lines


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("Device", overflow="fold")
    table.add_column("Name", overflow="fold")
    table.add_column("Method")
    table.add_column("Idle power", justify="right")
    return table


def _said(finding: Finding) -> Text:
    said = Text(finding.text)
    if finding.way_out:
        said.append(f"\n-> {finding.way_out}", style="dim")
    return said
