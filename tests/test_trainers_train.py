"""The command line: what it refuses, and that workers under torchrun make one tracked run."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from carbon.settings import Settings
from carbon.spool.spool import Spool
from tests.factories import make_report
from tests.fixtures.tracking import wait_until
from tests.patience import PATIENCE_S
from trainers import train
from trainers.options import parse
from trainers.tasks import make_task

DIGITS = ("--task", "digits", "--strategy", "single")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--task"),
        (("--task", "digits"), "--strategy"),
        (("--task", "mnist", "--strategy", "single"), "unknown task 'mnist'; there are: digits"),
        (("--task", "digits", "--strategy", "dpp"), "'dpp' is unknown; there are: single, ddp"),
        (("--task", "digits", "--strategy", "other"), "'other' is unknown; there are: single, ddp"),
        ((*DIGITS, "--epochs", "0"), "'0' is not a whole number above 0"),
        ((*DIGITS, "--epochs", "ten"), "'ten' is not a whole number above 0"),
        ((*DIGITS, "--batch-size", "-1"), "'-1' is not a whole number above 0"),
        ((*DIGITS, "--learning-rate", "nan"), "'nan' is not a number above 0"),
        ((*DIGITS, "--learning-rate", "0"), "'0' is not a number above 0"),
        ((*DIGITS, "--seed", "4294967296"), "'4294967296' is not a whole number from 0 to"),
        ((*DIGITS, "--tag", "cnn"), "'cnn' is not KEY=VALUE"),
        ((*DIGITS, "--epoch", "3"), "--epoch"),
        ((*DIGITS, "--project", ""), "project"),
        ((*DIGITS, "--size", "huge"), "no size 'huge'; there are: small, medium, large"),
        ((*DIGITS, "--zero-stage", "4"), "--zero-stage"),
        ((*DIGITS, "--zero-stage", "2"), "'single' has no ZeRO stages"),
        ((*DIGITS, "--scaling", "big"), "--scaling"),
        ((*DIGITS, "--profile-steps", "-1"), "'-1' is not a whole number"),
        ((*DIGITS, "--resume"), "--resume needs --checkpoint DIR"),
        ((*DIGITS, "--resume", "--checkpoint", "/nowhere"), "no checkpoint /nowhere/checkpoint.pt"),
        ((*DIGITS, "--study", "x" * 201), "study"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    complaint: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CARBON_SPOOL_DIR", str(settings.spool_dir))
    try:
        code: object = train.main(arguments)
    except SystemExit as leaving:
        code = leaving.code
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert complaint in said.err
    assert not settings.spool_dir.exists()


def test_a_country_there_is_not_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CARBON_COUNTRY_ISO_CODE", "ZZZ")
    assert train.main(DIGITS) == 2
    assert "CARBON_COUNTRY_ISO_CODE is 'ZZZ'" in capsys.readouterr().err


def test_in_weak_scaling_workers_have_as_much_to_do_as_one_alone() -> None:
    task = make_task("digits")
    options = parse([*DIGITS, "--scaling", "weak", "--batch-size", "10"])
    plan = train.make_plan(options, task, world_size=3)
    assert plan.global_batch_size == 30
    assert train.configuration(task, plan)["samples_per_epoch"] == 3 * 1440
    strong = train.make_plan(parse([*DIGITS]), task, world_size=3)
    assert strong.global_batch_size == task.batch_size
    assert train.configuration(task, strong)["samples_per_epoch"] == 1440


@pytest.mark.usefixtures("known_processor")
def test_a_killed_training_goes_on_as_a_linked_run_and_trains_no_epoch_twice(
    settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    command = [sys.executable, "-m", "trainers.train", *DIGITS, "--checkpoint", str(folder)]
    environ = tracked_env | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen([*command, "--epochs", "500"], env=environ, cwd=tmp_path) as process:
        wait_until((folder / "checkpoint.pt").exists)
        process.kill()
    before = torch.load(folder / "checkpoint.pt", weights_only=True)
    trained = before["epochs_trained"]
    assert 1 <= trained < 500

    epochs = str(trained + 1)
    again = [*command, "--epochs", epochs, "--profile-steps", "2", "--resume"]
    subprocess.run(again, env=environ, cwd=tmp_path, check=True, timeout=PATIENCE_S)
    assert torch.load(folder / "checkpoint.pt")["epochs_trained"] == trained + 1
    spool = Spool(settings.spool_dir)
    reports = {str(run_id): spool.report(run_id) for run_id in spool.waiting()}
    killed = reports.pop(before["run_id"], None)
    (report,) = reports.values()
    assert report is not None
    assert str(report.resumed_from) == before["run_id"]
    assert [epoch.index for epoch in report.epochs] == [trained]
    if killed is not None:
        assert all(epoch.index < trained for epoch in killed.epochs)
    (profile,) = report.nodes[0].profiles
    assert (profile.rank, profile.steps) == (0, 2)

    whole = tmp_path / "whole"
    uninterrupted = [*command[:-1], str(whole), "--epochs", epochs]
    subprocess.run(uninterrupted, env=environ, cwd=tmp_path, check=True, timeout=PATIENCE_S)
    states = [torch.load(each / "checkpoint.pt")["state"] for each in (folder, whole)]
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_what_is_unknown_is_said_to_be() -> None:
    where = Settings.model_validate({"spool_dir": "/spool"})
    nothing = make_report(cpu_energy_kwh=None, ram_energy_kwh=None, intensity_g_per_kwh=None)
    assert train.describe(nothing, where).startswith("unknown energy  unknown g CO2e")
    known = make_report(
        cpu_energy_kwh=0.002, ram_energy_kwh=0.001, intensity_g_per_kwh=500.0, pue=1.0
    )
    line = train.describe(known, where)
    assert line.startswith("0.0030000 kWh  1.5000 g CO2e")
    assert str(known.run_id) in line
    assert "/spool" in line
    assert where.base_url in line


@pytest.mark.usefixtures("known_processor")
@pytest.mark.parametrize(
    ("strategy", "n_workers", "n_epochs", "least_accuracy"),
    [("ddp", 2, 6, 0.95), ("single", 1, 2, 0.75)],
    ids=["torchrun-2", "alone"],
)
def test_a_training_is_one_run_that_waits_for_the_api(
    strategy: str,
    n_workers: int,
    n_epochs: int,
    least_accuracy: float,
    settings: Settings,
    tracked_env: dict[str, str],
    tmp_path: Path,
) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_workers}"]
    training = subprocess.run(
        [
            *(sys.executable, *(launcher if n_workers > 1 else ()), "-m", "trainers.train"),
            *("--task", "digits", "--strategy", strategy, "--epochs", str(n_epochs)),
            *("--project", "p", "--study", "s", "--name", "n"),
            *("--tag", "model=cnn", "--tag", "where=here"),
        ],
        env=tracked_env | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert training.returncode == 0, training.stderr
    spool = Spool(settings.spool_dir)
    (run_id,) = spool.waiting()
    report = spool.report(run_id)
    assert report is not None
    assert report.status == "completed"
    assert (report.project, report.study, report.name) == ("p", "s", "n")
    assert report.tags == {"model": "cnn", "where": "here"}
    assert report.config == {
        "task": "digits",
        "model": "digits-cnn",
        "size": "small",
        "epochs": n_epochs,
        "global_batch_size": 96,
        "learning_rate": 0.001,
        "seed": 0,
        "samples_per_epoch": 1440,
    }
    assert (report.strategy, report.world_size, report.n_nodes) == (strategy, n_workers, 1)

    (node,) = report.nodes  # Its energy is counted once, whatever the number of workers.
    assert node.ranks == list(range(n_workers))
    assert report.energy_kwh == node.energy_kwh
    assert report.energy_kwh is not None
    assert report.energy_kwh > 0
    assert [epoch.index for epoch in report.epochs] == list(range(n_epochs))

    accuracy = report.metrics["accuracy"]
    assert accuracy is not None
    assert accuracy >= least_accuracy
    assert report.epochs[-1].metrics == report.metrics

    lines = training.stdout.splitlines()  # Of rank 0 alone.
    assert len(lines) == n_epochs + 1
    energy, _, place = lines[-1].partition("  ")
    assert place.endswith(train.describe(report, settings).partition("  run ")[2])
    # Rank 0 prints what it knows when it leaves; the others may still be adding their last sample.
    assert 0 < float(energy.removesuffix(" kWh")) <= report.energy_kwh + 1e-7
