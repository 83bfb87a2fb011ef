"""The tables of a search for hyperparameters."""

from carbon import wording
from carbon.analysis.tuning import Spent
from carbon.report import tables
from carbon.report.tables import Column, Row, Table
from carbon.report.trials import TrialsReport
from carbon.tuning.journal import Trial


def search_tables(report: TrialsReport) -> list[Table]:
    """Return the trials, their curves and what the search spent."""
    return [_trials(report), _spent(report), _curves(report)]


def findings(report: TrialsReport) -> list[tuple[str, str]]:
    """Return what the search found, in sentences."""
    said = report.figures
    found = []
    if said.best is not None and said.best_value is not None:
        epoch = next(e for e, v in sorted(said.best.values.items()) if v == said.best_value)
        against = ""
        if (percent := said.against_baseline_percent) is not None:
            change = "above" if percent >= 0 else "below"
            against = f", {wording.number(abs(percent))} % {change} the baseline"
        value = f"{report.metric} {wording.number(said.best_value)}"
        found.append(("Best", f"trial {said.best.name} with {value} at epoch {epoch}{against}."))
    found.append(("The search drew", f"{_energy_of(said.total)} in {_count(said.total)}."))
    for status in ("stopped", "failed"):
        if status in said.by_status:
            spent = said.by_status[status]
            found.append((f"In {status} trials", f"{_energy_of(spent)} in {_count(spent)}."))
    if after := said.after_best:
        found.append(("After the eventual best", f"{_energy_of(after)} in {_count(after)}."))
    if said.times_final is not None:
        times = f"{wording.number(said.times_final)} times the final training's energy."
        found.append(("Search against training", times))
    return found


def _trials(report: TrialsReport) -> Table:
    rows: list[Row] = [_row(trial, report) for trial in report.trials]
    columns = [
        tables.text("Trial", "trial"),
        tables.text("Status", "status"),
        *(_parameter(name) for name in report.parameters),
        tables.number(report.metric, "value"),
        Column("Epochs", lambda row: str(row["epochs"])),
        tables.energy("Energy", "energy_kwh"),
        tables.mass("CO2e", "emissions_kg"),
        Column("Why it ended", lambda row: row["reason"] or "", is_number=False),
    ]
    return Table("trials", "Trials", columns, rows, "The value is that of the last epoch.")


def _row(trial: Trial, report: TrialsReport) -> Row:
    parameters = {f"parameter {name}": trial.parameters.get(name) for name in report.parameters}
    return {
        "trial": trial.name,
        "run_id": str(trial.run_id),
        "status": trial.status,
        **parameters,
        "metric": report.metric,
        "value": trial.last_value,
        "epochs": len(trial.values),
        "energy_kwh": trial.energy_kwh,
        "emissions_kg": trial.emissions_kg,
        "started_at": trial.started_at.isoformat(),
        "ended_at": trial.ended_at and trial.ended_at.isoformat(),
        "reason": trial.reason,
    }


def _parameter(name: str) -> Column:
    def show(row: Row) -> str:
        value = row[f"parameter {name}"]
        if value is None:
            return "–"
        return wording.number(value) if isinstance(value, float) else str(value)

    return Column(name, show)


def _spent(report: TrialsReport) -> Table:
    found = report.figures
    parts: list[tuple[str, Spent]] = [("all trials", found.total)]
    parts += [(f"{status} trials", spent) for status, spent in found.by_status.items()]
    if found.after_best is not None:
        parts.append(("after the eventual best", found.after_best))
    rows: list[Row] = [{"part": part, **vars(spent)} for part, spent in parts]
    columns = [
        Column("Spent in", lambda row: row["part"], is_number=False),
        tables.energy("Energy", "energy_kwh"),
        tables.mass("CO2e", "emissions_kg"),
        Column("Trials", lambda row: str(row["trials"])),
        Column("Without energy", lambda row: str(row["trials_without_energy"])),
    ]
    return Table("search-energy", "What the search spent", columns, rows)


def _curves(report: TrialsReport) -> Table:
    rows: list[Row] = [
        {"trial": trial.name, "epoch": epoch, "value": value, "status": trial.status}
        for trial in report.trials
        for epoch, value in sorted(trial.values.items())
    ]
    columns = [
        tables.text("Trial", "trial"),
        Column("Epoch", lambda row: str(row["epoch"])),
        tables.number(report.metric, "value"),
    ]
    return Table("learning-curves", "Learning curves", columns, rows)


def _energy_of(spent: Spent) -> str:
    return wording.energy(spent.energy_kwh)


def _count(spent: Spent) -> str:
    unknown = f", {spent.trials_without_energy} not measured" if spent.trials_without_energy else ""
    return f"{wording.count(spent.trials, 'trial')}{unknown}"
