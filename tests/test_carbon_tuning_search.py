"""A sweep of ten scripted trials with known answers, on both backends, and searches that are ended.

A script logs a loss that follows from its parameter. After the epoch at which ASHA has to stop it,
it waits to be stopped: a search that lets it go on makes it fail.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

import carbon
from carbon.delivery.delivery import deliver
from carbon.rest.client import Client
from carbon.schema import RunReport
from carbon.settings import Settings, load
from carbon.spool.spool import Spool
from carbon.tuning import optuna_search
from carbon.tuning.figures import figures, sentences
from carbon.tuning.journal import Journal, Trial
from carbon.tuning.running import hand_over, mark_stopped
from carbon.tuning.search import Search, run_search
from carbon.tuning.spec import spec_from
from carbon.tuning.tables import write_files
from carbon.tuning.trials import trials_of
from tests.fixtures.api import LiveApi, serving
from tests.fixtures.nvml import WAVES
from tests.fixtures.processes import are_gone, below
from tests.fixtures.tracking import closed_port, wait_until
from tests.nvml_sim.gpus import SimulatedGpus, make_gpus
from tests.patience import PATIENCE_S

SCRIPT = """
import json, os, sys, time
import carbon

q, epochs, folder = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
stopped_after = {4.2: 1, 6.0: 1, 8.0: 1, 3.5: 2, 9.0: 1}

def is_heard_of(epoch):
    lines = open(f"{folder}/search.jsonl").read().splitlines()
    told = [json.loads(line) for line in lines]
    return any(t.get("epoch") == epoch and t["trial"] == os.environ["CARBON_TRIAL"] for t in told)

with carbon.track("scripted") as run:
    for epoch in run.epochs(range(1, epochs + 1)):
        if epoch > 1:
            while not is_heard_of(epoch - 1):
                time.sleep(0.01)
            if epoch - 1 == stopped_after.get(q):
                time.sleep(60)
                sys.exit("nobody has stopped it")
        if q == 7:
            sys.exit("no batch fits")
        run.log(loss=float("nan") if q == 9 else q + 1 / epoch)
"""

# By ASHA with rungs after epochs 1, 2 and 4, of which one in two goes on. Of epoch 1, 4.2 is worse
# than the better half of 5 and 3; 6 and 8 are no better; 3.5 is among them, but after epoch 2 not
# among the better half of 5, 3, 2 and itself.
QUALITIES = (5.0, 3.0, 4.2, 6.0, 2.0, 8.0, 3.5, 7.0, 1.0, 9.0)
ANSWERS = {
    "0": ("completed", 4, None),
    "1": ("completed", 4, None),
    "2": ("stopped", 1, "asha"),
    "3": ("stopped", 1, "asha"),
    "4": ("completed", 4, None),
    "5": ("stopped", 1, "asha"),
    "6": ("stopped", 2, "asha"),
    "7": ("failed", 0, "exit code 1: no batch fits (trial-7.log)"),
    "8": ("completed", 4, None),
    "9": ("stopped", 1, "diverged"),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with serving(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture(scope="module")
def settings_of_sweeps(
    nvml_library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Trials draw from a simulated GPU, and their reports wait: to deliver them takes longer."""
    directory = tmp_path_factory.mktemp("sweeps")
    gpus = SimulatedGpus(nvml_library, directory / "gpus.conf", make_gpus(1, WAVES))
    environ = {
        **gpus.env,
        "CARBON_API_URL": f"http://127.0.0.1:{closed_port()}",
        "CARBON_COUNTRY_ISO_CODE": "DEU",
        "CARBON_SAMPLE_INTERVAL_S": "0.05",
        "CARBON_SERIES": "none",
        "CARBON_SPOOL_DIR": str(directory / "spool"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        yield load()


def a_search(folder: Path, settings: Settings, **given: Any) -> Search:
    script = folder.parent / "script.py"
    script.write_text(SCRIPT)
    spec = spec_from(
        {
            "name": folder.name,
            "project": "scripted",
            "space": {"q": "float:0:10"},
            "max_epochs": 4,
            "reduction": 2,
            "command": [sys.executable, str(script), "{q}", "{epochs}", str(folder)],
            **given,
        }
    )
    return Search(spec, folder, settings, lambda trials: None, folder.parent, poll_s=0.02)


def the_sweep(
    backend: Literal["optuna", "ray"], settings: Settings, directory: Path, **given: Any
) -> tuple[Search, list[Trial]]:
    first = tuple({"q": quality} for quality in QUALITIES)
    search = a_search(
        directory / f"sweep-{backend}", settings, trials=10, first=first, backend=backend, **given
    )
    return search, run_search(search)


@pytest.fixture(scope="module")
def optuna_sweep(
    settings_of_sweeps: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Search, list[Trial]]:
    directory = tmp_path_factory.mktemp("optuna")
    return the_sweep("optuna", settings_of_sweeps, directory, baseline={"q": 2.5}, final=True)


@pytest.fixture(scope="module")
def ray_sweep(
    settings_of_sweeps: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Search, list[Trial]]:
    pytest.importorskip("ray.tune")
    return the_sweep("ray", settings_of_sweeps, tmp_path_factory.mktemp("ray"))


def answers(trials: list[Trial]) -> dict[str, tuple[str, int, str | None]]:
    return {t.name: (t.status, len(t.values), t.reason) for t in trials if t.name.isdecimal()}


def in_ledger(search: Search, api: LiveApi) -> list[RunReport]:
    """Deliver what waits, as `carbon sync` does, and read the study."""
    with Client(api.settings) as client:
        spool = Spool(search.settings.spool_dir)
        assert not deliver(spool, client).rejected
        assert not spool.waiting()
        runs = client.all_runs(project="scripted", study=search.spec.name)
        return [client.run(run.run_id) for run in runs]


@pytest.mark.parametrize("backend", ["optuna", "ray"])
def test_asha_stops_the_right_trials(backend: str, request: pytest.FixtureRequest) -> None:
    _, trials = request.getfixturevalue(f"{backend}_sweep")
    assert answers(trials) == ANSWERS
    assert [t.name for t in trials if t.name.isdecimal()] == list(ANSWERS)
    found = figures(trials, "min")
    assert found.best is not None
    assert (found.best.name, found.best_value) == ("8", 1.25)
    assert trials[-1].values == (
        {1: None} if backend == "ray" else {1: 2, 2: 1.5, 3: 4 / 3, 4: 1.25}
    )
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "it is the program's own"


@pytest.mark.parametrize("backend", ["optuna", "ray"])
def test_the_ledger_alone_tells_how_each_trial_ended(
    backend: str, api: LiveApi, request: pytest.FixtureRequest
) -> None:
    search, trials = request.getfixturevalue(f"{backend}_sweep")
    told = {trial.name: trial for trial in trials_of(in_ledger(search, api))}
    assert len(told) == len(trials)
    for trial in trials:
        found = told[trial.name]
        assert (found.run_id, found.status, found.values) == (
            trial.run_id,
            trial.status,
            trial.values,
        )
        assert found.parameters == trial.parameters
        assert (found.energy_kwh, found.emissions_kg) == (trial.energy_kwh, trial.emissions_kg)
    stopped = [trial for trial in told.values() if trial.status == "stopped"]
    assert all(trial.energy_kwh and trial.emissions_kg for trial in stopped)


def test_a_run_that_was_delivered_is_marked_as_stopped_too(api: LiveApi) -> None:
    settings = api.settings.model_copy(update={"sample_interval_s": 0.05})
    with carbon.track("scripted", tags={"trial": "3"}, settings=settings) as run:
        run.log(loss=1.0)
    assert run.report.status == "completed"
    spool = Spool(settings.spool_dir)
    wait_until(lambda: not spool.waiting())
    mark_stopped(spool, run.run_id, "asha")
    hand_over(settings, run.run_id)
    assert not spool.waiting()
    with Client(settings) as client:
        told = client.run(run.run_id)
    assert (told.status, told.tags) == ("interrupted", {"trial": "3", "stopped": "asha"})
    assert told.metrics == {"loss": 1.0}
    assert (told.started_at, told.ended_at) == (run.report.started_at, run.report.ended_at)


def test_what_was_spent_on_what_is_told(optuna_sweep: tuple[Search, list[Trial]]) -> None:
    _, trials = optuna_sweep
    found = figures(trials, "min")
    energies = {trial.name: trial.energy_kwh for trial in trials}
    assert found.baseline_value == 2.75
    assert found.against_baseline_percent == pytest.approx(100 * (1.25 - 2.75) / 2.75)
    for status, names in (("stopped", "23569"), ("completed", "0148")):
        spent = found.by_status[status]  # type: ignore[index]
        assert spent.trials == len(names)
        assert spent.energy_kwh == pytest.approx(sum(energies[name] or 0 for name in names))
    assert found.by_status["failed"].trials == 1
    assert found.total.trials == 10
    assert found.total.energy_kwh is not None
    assert found.final_energy_kwh == energies["final"]
    assert found.times_final == pytest.approx(found.total.energy_kwh / (energies["final"] or 0))
    # The best value came at the end of trial 8: of that, a rest is left, and all of trial 9.
    assert found.after_best is not None
    assert found.after_best.energy_kwh is not None
    assert found.after_best.trials == 2
    assert 0 <= found.after_best.energy_kwh - (energies["9"] or 0) < (energies["8"] or 0)
    said = sentences(found, "loss", "min")
    assert said[:2] == [
        "best: trial 8, loss 1.25",
        "against the baseline: 54.5 % better than the baseline's 2.75 (loss)",
    ]
    assert [line.partition(":")[0] for line in said[2:]] == [
        "search",
        "in stopped trials",
        "in failed trials",
        "after the best value was reached",
        "final training",
    ]


def test_baseline_and_final_are_trials_of_their_own(
    optuna_sweep: tuple[Search, list[Trial]], tmp_path: Path
) -> None:
    search, trials = optuna_sweep
    assert (trials[0].name, trials[0].status, trials[0].last_value) == (
        "baseline",
        "completed",
        2.75,
    )
    assert (trials[-1].name, trials[-1].parameters) == ("final", {"q": 1.0})
    assert [t.name for t in trials if not t.is_searched] == ["baseline", "final"]
    write_files(search.spec, trials, tmp_path)
    lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert lines[0].startswith("trial,status,q,loss,epochs,energy_kwh,emissions_kg")
    assert lines[3].startswith("1,completed,3.0,3.25,4,")
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 1 + 6 * 4 + 4 * 1 + 2


def test_a_finished_search_goes_on_with_more_trials_by_the_same_rungs(
    optuna_sweep: tuple[Search, list[Trial]],
) -> None:
    """To a search that began anew any quality would be the best so far."""
    before, _ = optuna_sweep
    spec = before.spec.model_copy(update={"trials": 12})
    study = optuna_search._study(spec)
    for trial in before.finished().values():
        if trial.name.isdecimal():
            optuna_search._replay(spec, study, trial)
    for quality, is_stopped in ((3.9, True), (3.4, False)):
        study.enqueue_trial({"q": quality})
        asked = optuna_search._ask(spec, study, 10)
        asked.report(quality + 1, 1)
        assert asked.should_prune() is is_stopped


def test_parameters_follow_from_the_seed_and_the_trials_number() -> None:
    spaces = {"a": "log:1e-4:1e-1", "b": "int:16:18", "c": "choice:x,y", "d": "logint:1:9"}
    given = {"name": "draws", "space": spaces, "command": ["{a}", "{b}", "{c}", "{d}"]}
    spec = spec_from(given | {"seed": 1})

    def drawn(numbers: range, spec: Any = spec) -> list[dict[str, Any]]:
        study = optuna_search._study(spec)
        return [dict(optuna_search._ask(spec, study, number).params) for number in numbers]

    assert drawn(range(5)) == drawn(range(3)) + drawn(range(3, 5))
    assert drawn(range(5)) != drawn(range(5), spec_from(given | {"seed": 2}))
    for parameters in drawn(range(20)):
        assert all(spec.domains[name].holds(value) for name, value in parameters.items())


def test_ray_draws_what_the_space_holds() -> None:
    pytest.importorskip("ray.tune")
    from carbon.tuning import ray_search

    spaces = {"a": "log:1e-4:1e-1", "b": "int:16:18", "c": "choice:x,y", "d": "logint:1:9"}
    spec = spec_from({"name": "draws", "space": spaces, "command": ["{a}", "{b}", "{c}", "{d}"]})
    domains = {name: ray_search._domain(domain) for name, domain in spec.domains.items()}
    drawn = [ray_search._parameters(spec, domains, number) for number in range(40)]
    assert drawn == [ray_search._parameters(spec, domains, number) for number in range(40)]
    for parameters in drawn:
        assert all(spec.domains[name].holds(value) for name, value in parameters.items())
    assert {parameters["b"] for parameters in drawn} == {16, 17, 18}
    assert {parameters["c"] for parameters in drawn} == {"x", "y"}


WAITING = """
import pathlib, sys, time
import carbon

with carbon.track("waiting") as run:
    for epoch in run.epochs(range(2)):
        run.log(loss=1.0)
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.05)
"""


@pytest.mark.parametrize("backend", ["optuna", "ray"])
def test_no_trial_outlives_the_search_which_then_goes_on(
    backend: str, settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    if backend == "ray":
        pytest.importorskip("ray.tune")
    script = str(tmp_path / "waiting.py")
    Path(script).write_text(WAITING)
    go = tmp_path / "go"
    command = [sys.executable, "-m", "carbon", "study", "tune", "--name", "ended", "--trials", "1"]
    command += ["--space", "x=float:0:1", "--folder", str(tmp_path / "ended")]
    command += ["--backend", backend, "--"]
    command += [sys.executable, script, str(go), "{x}"]
    journal = Journal(tmp_path / "ended")
    spool = Spool(settings.spool_dir)

    def trial_that_runs(attempts: int) -> list[psutil.Process]:
        # A Ray takes a minute to start on a machine that is busy with other tests.
        wait_until(
            lambda: len(journal.trials()) == attempts and bool(journal.trials()[-1].values), 300.0
        )
        return below(search.pid, script)  # Ray's own agents notice a kill only after a minute.

    for number, how in enumerate((signal.SIGINT, signal.SIGKILL), 1):
        search = subprocess.Popen(command, env=tracked_env, stderr=subprocess.PIPE, text=True)
        processes = trial_that_runs(number)
        assert len(processes) >= 3, "the guard, `carbon run` and the script"
        os.kill(search.pid, how)
        _, said = search.communicate(timeout=PATIENCE_S)
        assert search.returncode == (130 if how == signal.SIGINT else -how)
        assert ("goes on with it" in said) is (how == signal.SIGINT)
        wait_until(partial(are_gone, processes))

    go.touch()
    done = subprocess.run(
        command, env=tracked_env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    trials = journal.trials()
    assert [t.name for t in trials] == ["0", "0", "0"]
    assert [t.status for t in trials] == ["interrupted", "interrupted", "completed"]
    assert len({str(t.parameters) for t in trials}) == 1
    statuses = [report.status for run_id in spool.waiting() if (report := spool.report(run_id))]
    assert statuses == ["interrupted", "interrupted", "completed"]
