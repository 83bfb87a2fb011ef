"""What a report says of a study, in whatever state the study is."""

import csv
import io
import re
from typing import Any

import pytest
from rich.console import Console

from carbon.analysis.choice import Limits
from carbon.analysis.tradeoff import scaling
from carbon.report.console import show
from carbon.report.content import Content, content_of
from carbon.report.page import html_page
from carbon.report.study import Asked, analyse, metric_of, mode_of
from carbon.report.tables import Table
from carbon.schema import RunReport
from tests import studies
from tests.factories import make_report


def content(runs: list[RunReport], **asked: Any) -> Content:
    return content_of(analyse("studies", "scaling", runs, Asked(**asked)))


def table(found: Content, name: str) -> Table:
    return next(table for table in found.tables if table.name == name)


def lines(found: Content, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table(found, name).csv())))


def text(found: Content, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    show(found, console)
    return console.export_text()


def titles(spec: Any) -> list[str]:
    """Every title in a chart."""
    if isinstance(spec, list):
        return [title for part in spec for title in titles(part)]
    if not isinstance(spec, dict):
        return []
    own = [spec["title"]] if isinstance(spec.get("title"), str) else []
    return own + [title for part in spec.values() for title in titles(part)]


def test_a_study_of_a_command_without_epochs_has_its_report() -> None:
    runs = [
        make_report(
            project="studies",
            study="scaling",
            strategy="other",
            world_size=workers,
            epochs=[],
            duration_s=60.0 / workers + 3,
        )
        for workers in (1, 2, 4)
    ]
    found = content(runs)
    assert [row["epoch_s"] for row in lines(found, "configurations")] == ["63.0", "33.0", "18.0"]
    drawn = {figure.name: figure for figure in found.figures}
    assert {"speedup", "epoch-time", "efficiency", "energy"} <= drawn.keys()
    # Nowhere is a run called an epoch, and nobody races through one.
    said = [text(found), *(f"{figure.title} {figure.told}" for figure in found.figures)]
    said += [line for figure in found.figures for line in titles(figure.chart.to_dict())]
    assert [line for line in said if re.search("(?i)epoch", line.replace("no epochs", ""))] == []
    assert "whole runs are compared" in said[0]
    assert drawn["epoch-time"].title == "Time per run"
    assert "Energy per run" in said[0]
    assert "for 1 run" in said[0]
    assert "race" not in {table.name for table in found.tables}


@pytest.fixture(scope="module")
def virgo() -> Content:
    return content(studies.virgo())


@pytest.fixture(scope="module")
def repeated() -> Content:
    return content(list(studies.repeated()), target=0.8)


def test_the_tables_hold_what_the_analysis_found(repeated: Content) -> None:
    points = scaling("studies", "scaling", list(studies.repeated())).points
    written = lines(repeated, "configurations")
    assert [(row["strategy"], int(row["workers"])) for row in written] == [
        (point.strategy, point.workers) for point in points
    ]
    for row, point in zip(written, points, strict=True):
        for name in ("epoch_s", "epoch_s_stdev", "speedup", "efficiency", "energy_per_epoch_kwh"):
            assert float(row[name]) == getattr(point, name)
        joules = (point.energy_per_epoch_kwh or 0) * 3.6e6
        assert float(row["energy_delay_j_s"]) == pytest.approx(joules * point.epoch_s)


def test_every_run_is_listed_compared_or_not(repeated: Content) -> None:
    rows = lines(repeated, "runs")
    assert [row["compared"] for row in rows] == ["True"] * 18 + ["False"]
    assert rows[-1]["status"] == "failed"
    assert "Not compared, since they are not complete: 1 failed." in repeated.notices


def test_the_cost_of_reaching_a_target_is_told_for_each_run(repeated: Content) -> None:
    rows = lines(repeated, "reaching")
    assert len(rows) == 18
    assert {row["epoch"] for row in rows} == {"3"}, "0.5, 0.75, 0.875"
    # Of the first ddp × 1: the warm-up and two epochs of 3 s.
    assert float(rows[0]["time_s"]) == pytest.approx(3.5 * 3.0)


def test_extrapolated_figures_are_called_so_and_kept_apart(virgo: Content) -> None:
    rows = lines(virgo, "extrapolated")
    assert {row["kind"] for row in rows} == {"extrapolated"}
    assert {int(row["workers"]) for row in rows} == {64, 128}
    assert {int(row["workers"]) for row in lines(virgo, "configurations")} == {4, 8, 16, 32}
    told = {(r["strategy"], int(r["workers"])) for r in rows if r["too_wide"] == "False"}
    raced = {
        (racer.strategy, racer.workers)
        for racer in virgo.study.racers
        if racer.measured_epochs == 0
    }
    assert raced == told
    assert all(row["law"] in ("amdahl", "usl") for row in lines(virgo, "scaling-laws"))


def test_the_answers_name_configurations_and_amounts(virgo: Content) -> None:
    answers = dict(virgo.answers)
    assert answers["Fastest"].startswith("deepspeed on 32 workers: 36.4 s")
    assert answers["Least energy"].startswith("deepspeed on 4 workers")
    limited = dict(content(studies.virgo(), epochs=100, limits=Limits(deadline_s=3600)).answers)
    within = limited["Within your limits, for 100 epochs"]
    assert "on 8 workers" in within or "on 16 workers" in within


def test_the_terminal_shows_notices_tables_and_answers(repeated: Content) -> None:
    shown = text(repeated)
    for part in (
        "Study scaling",
        "baseline ddp × 1",
        "! Not compared",
        "Configurations",
        "What each hour saved costs",
        "deepspeed × 2",
        "Least energy",
    ):
        assert part in shown
    narrow = text(repeated, width=80)
    assert max(map(len, narrow.splitlines())) <= 80
    # Nothing is cut off, and no figure and no word broken in two.
    for part in ("Throughput", "(samples/s)", "Efficiency", "front", "Runs", "20.4 ± 0.40 mWh"):
        assert part in narrow


def test_runs_that_differ_are_left_out_until_asked_for() -> None:
    runs = [*studies.repeated(), studies.training("ddp", 4, 0.5, 1e-5, config={"task": "other"})]
    found = content(runs)
    assert "config task" in found.notices[0]
    assert "--across" in found.notices[0]
    assert len(found.study.points) == 6
    across = content(runs, across=True)
    assert len(across.study.points) == 7
    assert "Compared although they differ in config task" in across.notices[0]


def test_a_study_without_energy_has_times_and_says_what_is_missing() -> None:
    found = content([studies.training("ddp", n, 8 / n, None) for n in (1, 2)])
    assert any("No energy was measured" in notice for notice in found.notices)
    names = {figure.name for figure in found.figures}
    assert "speedup" in names
    assert not names & {"energy", "emissions", "energy-against-speedup", "metric-against-energy"}
    assert "Least energy" not in dict(found.answers)
    html_page(found)


def test_one_configuration_is_not_much_of_a_comparison() -> None:
    found = content([studies.training("ddp", 2, 1.0, 1e-5)])
    assert any("one configuration alone" in notice for notice in found.notices)
    assert any("ran once" in notice for notice in found.notices)
    assert lines(found, "race")[0]["strategy"] == "ddp"
    html_page(found)


@pytest.mark.parametrize("fields", [{"status": "running"}, {"strategy": None}])
def test_nothing_to_compare_is_said(fields: dict[str, Any]) -> None:
    found = content([make_report(study="scaling", **fields)])
    assert any("nothing to compare" in notice for notice in found.notices)
    assert [table.name for table in found.tables] == ["runs"]
    assert not found.figures
    assert 'id="race"' not in html_page(found)
    assert "There is nothing to compare" in text(found).replace("\n", " ")


def test_weak_scaling_is_compared_by_the_same_work() -> None:
    runs = [
        studies.training(
            "ddp",
            n,
            10.0 + n,
            1e-5 * n,
            config={"samples_per_epoch": 100 * n, "global_batch_size": 8 * n},
        )
        for n in (1, 2, 4, 8)
    ]
    found = content(runs)
    assert not found.study.comparison.left_out
    assert any("No race" in notice for notice in found.notices)
    beyond = found.study.fits[0].extrapolations[0]
    assert beyond.predicted.workers == 16
    # 10 s and 1 s for each worker: of epochs that grow with the workers.
    assert beyond.epoch_s == pytest.approx(26.0, rel=0.05)
    assert beyond.speedup == pytest.approx(11.0 * 16 / 26.0, rel=0.05)


def test_a_search_has_its_trials_its_best_and_its_waste() -> None:
    found = content(list(studies.search()))
    answers = dict(found.answers)
    # After five epochs 1 - 0.5 ** 5 against 1 - 0.5 ** 3 of the baseline.
    assert answers["Best"].startswith("trial 2 with accuracy 0.969 at epoch 5, 10.7 % above")
    assert answers["In stopped trials"] == "30.0 mWh in 1 trial."
    assert answers["In failed trials"] == "50.0 mWh in 1 trial."
    assert answers["After the eventual best"] == "50.0 mWh in 1 trial."
    # 4.5 + 1.5 + 5.5 + 2.5 epochs against 5.5.
    assert answers["Search against training"].startswith("2.55 times")
    assert [row["trial"] for row in lines(found, "trials")] == [
        "baseline", "0", "1", "2", "3", "final",
    ]  # fmt: skip
    assert lines(found, "trials")[2]["status"] == "stopped"
    assert lines(found, "trials")[2]["parameter learning_rate"] == "1.0"
    assert len(lines(found, "learning-curves")) == 20
    assert [figure.name for figure in found.figures] == ["learning-curves"]
    assert not found.study.points, "trials are no configurations"
    assert "nothing to compare" not in " ".join(found.notices)


def test_many_configurations_are_all_there() -> None:
    found = content(list(studies.many()))
    assert len(lines(found, "configurations")) == 48
    assert len({figure.name for figure in found.figures}) == len(found.figures)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ((), None),
        (("loss", "accuracy"), "accuracy"),
        (("train_acc", "val_acc"), "val_acc"),
        (("bleu", "loss", "val_loss"), "val_loss"),
        (("bleu",), "bleu"),
    ],
)
def test_the_metric_is_an_accuracy_else_a_loss(names: tuple[str, ...], chosen: str | None) -> None:
    assert metric_of([make_report(metrics=dict.fromkeys(names, 0.5))]) == chosen


@pytest.mark.parametrize(
    ("metric", "mode"),
    [("val_loss", "min"), ("RMSE", "min"), ("residual_ratio", "min"), ("f1", "max")],
)
def test_what_is_better_follows_from_the_name(metric: str, mode: str) -> None:
    assert mode_of(metric) == mode


def test_names_are_text_on_the_page_and_on_the_terminal() -> None:
    odd = "</script><script>alert(1)</script>[bold]"
    runs = [studies.training("ddp", 1, 1.0, 1e-5, name=odd)]
    study = analyse("p", odd, runs, Asked())
    page = html_page(content_of(study))
    assert "<script>alert" not in page
    assert odd in text(content_of(study), width=200)
