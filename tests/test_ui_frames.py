"""Data frames made from wire models: order, units, and unknown kept apart from zero."""

import json
from datetime import UTC, datetime, timedelta

from carbon import grid
from carbon.schema import EpochReport
from tests.answers import place
from tests.factories import make_report
from ui import frames

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_runs_come_oldest_first_and_unknown_is_not_zero() -> None:
    late = make_report(started_at=START + timedelta(hours=1), gpu_energy_kwh=None)
    early = make_report(started_at=START, cpu_energy_kwh=None, ram_energy_kwh=None)
    frame = frames.runs([late, early])
    assert frame["run_id"].tolist() == [str(early.run_id), str(late.run_id)]
    assert frame["energy_kwh"].isna().tolist() == [True, False]
    assert frame.loc[0, "energy_text"] == "unknown"
    assert frame["GPU"].isna().all()
    assert frame.loc[1, "CPU"] == late.cpu_energy_kwh


def test_a_run_is_called_by_its_name_or_by_its_configuration() -> None:
    assert frames.run_label(make_report(name="warm")).startswith("warm · 1 Mar 2026")
    assert frames.run_label(make_report(strategy="ddp", world_size=2)).startswith("ddp × 2 · ")
    assert frames.run_label(make_report(strategy=None)).startswith("no strategy × 1")


def test_the_world_has_countries_and_no_regions() -> None:
    frame = frames.world(grid.all_factors())
    assert frame["id"].is_unique
    assert frame.set_index("id").at["276", "country"] == "Germany"
    assert len(frame) == sum(factor.region is None for factor in grid.all_factors())


def test_own_places_are_named_once_and_unknown_ones_not_at_all() -> None:
    own = [place("DEU", 400.0, 1.0), place("DEU", 300.0, 1.0), place(None, None, 1.0)]
    assert frames.places(own) == ["276"]


def test_epochs_of_several_attempts_are_numbered_through() -> None:
    epochs = [
        EpochReport(index=0, attempt=1, duration_s=3.0, metrics={"loss": 0.5}),
        EpochReport(index=1, attempt=0, duration_s=2.0),
        EpochReport(index=0, attempt=0, duration_s=1.0, metrics={"loss": float("nan")}),
    ]
    frame = frames.epochs(epochs)
    assert frame["duration_s"].tolist() == [1.0, 2.0, 3.0]
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame["energy_kwh"].isna().all()
    assert frames.metrics(epochs).to_dict("records") == [
        {"epoch": 3, "metric": "loss", "value": 0.5}
    ]


def test_raw_rows_hold_every_field_of_a_run() -> None:
    run = make_report(config={"lr": 0.1})
    row = frames.raw([run]).iloc[0]
    assert row["energy_kwh"] == run.energy_kwh
    assert json.loads(row["config"]) == {"lr": 0.1}
    assert row["run_id"] == str(run.run_id)
