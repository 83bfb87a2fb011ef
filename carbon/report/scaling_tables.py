"""The tables of a scaling study."""

from collections.abc import Iterable

from carbon import wording
from carbon.analysis.choice import Option, best, marginals, options_of
from carbon.analysis.reaching import Milestone, cost_to_reach, course
from carbon.report import tables
from carbon.report.fits import Extrapolation, StrategyFit
from carbon.report.hardware_table import hardware_table
from carbon.report.study import Study
from carbon.report.tables import Column, Row, Table
from carbon.units import SECONDS_PER_HOUR


def scaling_tables(study: Study) -> list[Table]:
    """Return the tables that have any rows."""
    found = [
        _configurations(study),
        hardware_table(study.points),
        _laws(study),
        _extrapolated(study),
        _marginals(study),
        _reaching(study),
        _race(study),
    ]
    return [table for table in found if table.rows]


def runs_table(study: Study) -> Table:
    """Return a line for every run, compared or not."""
    compared = {run.run_id for run in study.comparison.runs}
    rows: list[Row] = [
        {
            "run_id": str(run.run_id),
            "name": run.name,
            "strategy": run.strategy or "no strategy",
            "workers": run.world_size,
            "status": run.status,
            "started_at": run.started_at.isoformat(),
            "duration_s": run.duration_s,
            "energy_kwh": run.energy_kwh,
            "emissions_kg": run.emissions_kg,
            "compared": run.run_id in compared,
        }
        for run in sorted(study.runs, key=lambda run: run.started_at)
    ]
    columns = [
        tables.CONFIGURATION,
        Column("Name", lambda row: row["name"] or "–", is_number=False),
        tables.text("Status", "status"),
        tables.duration("Duration", "duration_s"),
        tables.energy("Energy", "energy_kwh"),
        tables.mass("CO2e", "emissions_kg"),
        Column("Compared", lambda row: "yes" if row["compared"] else "no", is_number=False),
    ]
    return Table("runs", "All runs", columns, rows)


def _configurations(study: Study) -> Table:
    edp = {
        (option.strategy, option.workers): option.energy_delay_j_s
        for option in options_of(study.points)
    }
    rows = [
        point.model_dump(mode="json", exclude={"metrics"})
        | {"energy_delay_j_s": edp[point.strategy, point.workers]}
        | {f"metric {name}": value for name, value in point.metrics.items()}
        for point in study.points
    ]
    columns = [
        tables.CONFIGURATION,
        tables.duration(f"Time per {study.unit}", "epoch_s"),
        tables.number("Speedup", "speedup"),
        tables.number("Ideal", "ideal_speedup"),
        tables.percent("Efficiency", "efficiency"),
        tables.energy(f"Energy per {study.unit}", "energy_per_epoch_kwh"),
        tables.mass(f"CO2e per {study.unit}", "emissions_per_epoch_kg"),
        tables.number("Energy × time (J s)", "energy_delay_j_s"),
        Column("On the front", lambda row: "yes" if row["on_pareto_front"] else "", False),
        Column("Runs", lambda row: str(row["runs"])),
    ]
    warm_up = "; the first epoch, a warm-up, is left out" if study.unit == "epoch" else ""
    note = (
        f"Means over runs, ± one standard deviation over them{warm_up}. The front (Pareto) is of "
        f"time and energy per {study.unit}. Energy × time is the energy-delay product of one "
        f"{study.unit}: less is better."
    )
    return Table("configurations", "Configurations", columns, rows, note)


def _laws(study: Study) -> Table:
    def row_of(fit: StrategyFit) -> Row:
        law = fit.chosen.law if fit.chosen else None
        row: dict[str, object] = {"strategy": fit.strategy, "law": law.law if law else None}
        for name in ("sigma", "kappa", "t1_s"):
            band = getattr(law, name) if law else None
            for end, attribute in (("", "value"), ("_low", "low"), ("_high", "high")):
                row[f"{name}{end}"] = getattr(band, attribute) if band else None
        spread = law.residual_spread if law else None
        return row | {"residual_spread": spread, "reason": fit.reason}

    def band(name: str) -> Column:
        return Column(
            {"sigma": "Serial share σ", "kappa": "Coherency κ"}[name],
            lambda row: (
                "–"
                if row[name] is None
                else f"{wording.number(row[name])} "
                f"({wording.number(row[f'{name}_low'])} to {wording.number(row[f'{name}_high'])})"
            ),
        )

    columns = [
        tables.text("Strategy", "strategy"),
        band("sigma"),
        band("kappa"),
        tables.percent("Residuals", "residual_spread"),
        tables.text("Law", "reason"),
    ]
    note = f"Fitted to the mean {study.unit} times; in brackets the band that holds 95 %."
    return Table("scaling-laws", "Laws of scaling", columns, [row_of(f) for f in study.fits], note)


def _extrapolated(study: Study) -> Table:
    rows: list[Row] = [_extrapolation(e) for fit in study.fits for e in fit.extrapolations]
    columns = [
        tables.CONFIGURATION,
        Column("Kind", lambda row: "extrapolated", is_number=False),
        tables.duration(f"Time per {study.unit}", "epoch_s"),
        tables.duration("At least", "epoch_low_s"),
        tables.duration("At most", "epoch_high_s"),
        tables.number("Speedup", "speedup"),
        Column("Tells", lambda row: "too wide to tell" if row["too_wide"] else "yes", False),
    ]
    note = (
        "Not measured: what the fitted law says of more workers, with the band of 95 % in which a "
        "new run would be. Bands wider than a factor of 1.5 do not tell, and are not drawn."
    )
    return Table("extrapolated", "Extrapolated to more workers", columns, rows, note)


def _extrapolation(found: Extrapolation) -> Row:
    return {
        "strategy": found.strategy,
        "workers": found.predicted.workers,
        "kind": "extrapolated",
        "epoch_s": found.epoch_s,
        "epoch_low_s": found.epoch_low_s,
        "epoch_high_s": found.epoch_high_s,
        "speedup": found.speedup,
        "too_wide": found.predicted.is_too_wide_to_tell,
    }


def choices(study: Study) -> list[tuple[str, str]]:
    """Return questions of what is best for a training, with their answers in a sentence."""
    options = options_of(study.points)
    if not options:
        return []
    asked = wording.count(study.epochs, study.unit)
    answers = []
    if any(value is not None for value in vars(study.limits).values()):
        chosen = best(options, study.epochs, study.limits)
        answers.append((f"Within your limits, for {asked}", chosen.reason))
    balanced = best(options, study.epochs, type(study.limits)())
    answers.append((f"Time and energy both, for {asked}", balanced.reason))
    fastest = min(options, key=lambda option: option.epoch_s)
    answers.append(("Fastest", f"{fastest.name}: {_takes(fastest, study.epochs)}."))
    measured = [o for o in options if o.energy_per_epoch_kwh is not None]
    if measured:
        least = min(measured, key=lambda option: option.energy_per_epoch_kwh or 0.0)
        answers.append(("Least energy", f"{least.name}: {_takes(least, study.epochs)}."))
    return answers


def _takes(option: Option, epochs: int) -> str:
    energy_kwh, emissions_kg = option.energy_per_epoch_kwh, option.emissions_per_epoch_kg
    parts = [wording.duration(option.epoch_s * epochs)]
    if energy_kwh is not None:
        parts.append(wording.energy(energy_kwh * epochs))
    if emissions_kg is not None:
        parts.append(f"{wording.mass(emissions_kg * epochs)} CO2e")
    return f"{', '.join(parts)} for {wording.count(epochs, option.unit)}"


def _marginals(study: Study) -> Table:
    steps = marginals(options_of(study.points), study.epochs)
    rows: list[Row] = [
        {
            "from_strategy": step.slower.strategy,
            "from_workers": step.slower.workers,
            "to_strategy": step.faster.strategy,
            "to_workers": step.faster.workers,
            "saved_s": step.saved_h * SECONDS_PER_HOUR,
            "extra_kwh": step.extra_kwh,
            "kwh_per_h": step.kwh_per_h,
        }
        for step in steps
    ]
    columns = [
        *(
            Column(
                end.capitalize(),
                lambda row, end=end: wording.configuration(  # type: ignore[misc]
                    row[f"{end}_strategy"], row[f"{end}_workers"]
                ),
                is_number=False,
            )
            for end in ("from", "to")
        ),
        tables.duration("Saves", "saved_s"),
        tables.energy("Costs more", "extra_kwh"),
        tables.energy("For each hour saved", "kwh_per_h"),
    ]
    note = f"Along the front, for {wording.count(study.epochs, study.unit)}."
    return Table("marginal", "What each hour saved costs", columns, rows, note)


def _reaching(study: Study) -> Table:
    target, metric = study.target, study.metric
    if target is None or metric is None:
        return Table("reaching", "", [], [])
    rows: list[Row] = []
    for run in study.comparison.runs:
        reached = cost_to_reach(course(run, metric), target, study.mode)
        rows.append(
            {"run_id": str(run.run_id), "strategy": run.strategy, "workers": run.world_size}
            | _milestone(reached)
        )
    rows.sort(key=lambda row: (row["strategy"], row["workers"]))
    columns = [
        tables.CONFIGURATION,
        Column("Reached", lambda row: "never" if row["epoch"] is None else f"epoch {row['epoch']}"),
        tables.duration("Time", "time_s"),
        tables.energy("Energy", "energy_kwh"),
        tables.mass("CO2e", "emissions_kg"),
    ]
    title = f"What it cost to reach {metric} {wording.number(target)}"
    return Table("reaching", title, columns, rows, "A line for each run, to the end of an epoch.")


def _milestone(reached: Milestone | None) -> dict[str, object]:
    return {
        "epoch": None if reached is None else reached.index + 1,
        "time_s": None if reached is None else reached.time_s,
        "energy_kwh": None if reached is None else reached.energy_kwh,
        "emissions_kg": None if reached is None else reached.emissions_kg,
    }


_RACE_NOTE = (
    "The warm-up is part of the race; what is extrapolated to more workers has none, and no energy."
)


def _race(study: Study) -> Table:
    rows: Iterable[Row] = (
        {
            "strategy": racer.strategy,
            "workers": racer.workers,
            "finish_s": racer.finish_s,
            "measured_epochs": racer.measured_epochs,
            "epochs": len(racer.epoch_ends_s),
            "runs": racer.runs,
        }
        for racer in study.racers
    )
    columns = [
        tables.CONFIGURATION,
        tables.duration("Finishes after", "finish_s"),
        Column("Epochs measured", lambda row: f"{row['measured_epochs']} of {row['epochs']}"),
        Column(
            "Kind",
            lambda row: "measured" if row["measured_epochs"] == row["epochs"] else "extrapolated",
            is_number=False,
        ),
    ]
    title = f"The race through {wording.count(study.epochs, 'epoch')}"
    return Table("race", title, columns, list(rows), _RACE_NOTE)
