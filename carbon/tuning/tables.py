"""What `carbon study tune` shows, and the files it leaves beside the journal."""

import csv
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from carbon import wording
from carbon.errors import CarbonError
from carbon.tuning.journal import Trial, TrialStatus
from carbon.tuning.space import shown
from carbon.tuning.spec import TuneSpec

_STYLES = {"completed": "green", "stopped": "yellow", "failed": "bold red", "running": "cyan"}
_UNKNOWN = "unknown"


class Progress:
    """Shows the trials: a table that changes on a terminal, else a line for what has ended."""

    def __init__(self, spec: TuneSpec, console: Console) -> None:
        self._spec = spec
        self._console = console
        self._said: set[tuple[str, str]] = set()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last: list[tuple[str, TrialStatus, int]] = []

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, trials: list[Trial]) -> None:
        """Show the trials as they stand, where anything has changed."""
        now = [(str(trial.run_id), trial.status, len(trial.values)) for trial in trials]
        if now == self._last:
            return
        self._last = now
        if self._live is not None:
            self._live.update(trials_table(self._spec, trials), refresh=True)
            return
        for trial in trials:
            key = str(trial.run_id), trial.status
            if key not in self._said:
                self._said.add(key)
                self._console.print(line_of(self._spec, trial), markup=False)


def line_of(spec: TuneSpec, trial: Trial) -> str:
    """Say in a line how a trial stands."""
    said = f"trial {trial.name}  {trial.status}"
    if trial.status == "running":
        return f"{said}  {shown(trial.parameters)}"
    said += f"  {spec.metric} {_figure(trial.last_value)}  epochs {len(trial.values)}"
    said += f"  {wording.energy(trial.energy_kwh)}  {wording.mass(trial.emissions_kg)} CO2e"
    return f"{said}  {trial.reason}" if trial.reason else said


def trials_table(spec: TuneSpec, trials: Iterable[Trial]) -> Table:
    """Show every trial: how it stands, its parameters, its metric and what it cost."""
    trials = list(trials)
    rows = [_cells(spec, trial) for trial in trials]
    heads = ["Trial", "Status", *spec.space, spec.metric, "Epochs", "Energy", "CO2e"]
    table = Table(
        title=f"Study {spec.name}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for position, head in enumerate(heads):
        # A figure that is cut off is a wrong one: where there is no room, headings are folded.
        width = max((len(cells[position]) for cells in rows), default=0)
        side: Literal["left", "right"] = "left" if head == "Status" else "right"
        table.add_column(head, justify=side, min_width=width, overflow="fold")
    table.add_column("Why", overflow="fold")
    for trial, (name, status, *cells) in zip(trials, rows, strict=True):
        style = _STYLES.get(trial.status, "")
        table.add_row(name, Text(status, style=style), *cells, Text(trial.reason or ""))
    return table


def _cells(spec: TuneSpec, trial: Trial) -> list[str]:
    has_ended = trial.status != "running"
    values = (trial.parameters[name] for name in spec.space)
    return [
        trial.name,
        trial.status,
        *(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values),
        _figure(trial.last_value) if trial.values else "",
        str(len(trial.values)),
        wording.energy(trial.energy_kwh) if has_ended else "",
        wording.mass(trial.emissions_kg) if has_ended else "",
    ]


def write_files(spec: TuneSpec, trials: Iterable[Trial], directory: Path) -> None:
    """Write `trials.csv`, a line for each trial, and `curves.csv`, one for each of its epochs.

    Energies are in kWh, emissions in kg CO2e, moments in UTC; what is unknown is left empty.

    Raises:
        CarbonError: they cannot be written.
    """
    trials = list(trials)
    fields = ("energy_kwh", "emissions_kg", "started_at", "ended_at", "run_id", "reason")
    lines: list[list[object]] = [
        [
            *(trial.name, trial.status),
            *(trial.parameters[name] for name in spec.space),
            *(trial.last_value, len(trial.values)),
            *(getattr(trial, name) for name in fields),
        ]
        for trial in trials
    ]
    curves: list[list[object]] = [
        [trial.name, str(trial.run_id), epoch, value]
        for trial in trials
        for epoch, value in trial.values.items()
    ]
    heads = ["trial", "status", *spec.space, spec.metric, "epochs", *fields]
    try:
        _write(directory / "trials.csv", heads, lines)
        _write(directory / "curves.csv", ["trial", "run_id", "epoch", spec.metric], curves)
    except OSError as error:
        raise CarbonError(f"{directory} cannot be written: {error.strerror}") from error


def _write(path: Path, heads: list[str], lines: list[list[object]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(lines)


def _figure(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.6g}"
