"""Strategy `horovod`, under the real `horovodrun`, which `make test` builds if it can."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from carbon.settings import Settings
from carbon.spool.spool import Spool
from tests.patience import PATIENCE_S
from tests.test_trainers_strategies import SHARED_TRAINING, assert_close
from trainers import install_horovod
from trainers.install_horovod import InstallError, Patch

needs_horovod = pytest.mark.skipif(
    importlib.util.find_spec("horovod") is None,
    reason="Horovod is not installed; `make horovod` builds it where there is a C++ compiler",
)
HOROVODRUN = (str(Path(sys.executable).parent / "horovodrun"), "-np", "2")
TRAIN = (sys.executable, "-m", "trainers.train", "--task", "digits", "--strategy", "horovod")
ON_CPU = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each worker saw: `horovod-double-2-1` is the second of two."""
    folder = tmp_path_factory.mktemp("horovod")
    script = folder / "shared_training.py"
    script.write_text(SHARED_TRAINING)
    one = [sys.executable, str(script), str(folder)]
    for command in ([*one, "single,horovod", ""], [*HOROVODRUN, *one, "horovod", ""]):
        subprocess.run(command, env=os.environ | ON_CPU, check=True, timeout=PATIENCE_S)
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


@needs_horovod
@pytest.mark.parametrize("place", ["1-0", "2-0", "2-1"])
def test_any_number_of_workers_reaches_the_weights_and_metrics_of_one(
    trainings: dict[str, dict[str, Any]], place: str
) -> None:
    """In double precision, where only a wrong factor or a wrong share would show."""
    alone, shared = trainings["single-double-1-0"], trainings[f"horovod-double-{place}"]
    assert_close(shared["metrics"], alone["metrics"], "double")
    assert (shared["state"] is None) == (place == "2-1")
    if shared["state"] is not None:
        assert_close(shared["state"], alone["state"], "double")


@needs_horovod
def test_it_goes_on_from_a_checkpoint_to_the_same_weights(
    trainings: dict[str, dict[str, Any]],
) -> None:
    whole, resumed = trainings["horovod-double-2-0"], trainings["resumed-horovod-double-2-0"]
    assert resumed["start"] == 1
    assert_close(resumed["state"], whole["state"], "double")
    assert_close(resumed["metrics"], whole["metrics"][1:], "double")


@needs_horovod
def test_workers_of_horovodrun_are_one_run(
    settings: Settings, tracked_env: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [*HOROVODRUN, *TRAIN, "--epochs", "1"],
        env=tracked_env | ON_CPU,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    spool = Spool(settings.spool_dir)
    (run_id,) = spool.waiting()
    report = spool.report(run_id)
    assert report is not None
    assert (report.status, report.strategy) == ("completed", "horovod")
    assert (report.world_size, report.n_nodes) == (2, 1)
    assert [node.ranks for node in report.nodes] == [[0, 1]]
    assert report.software["horovod"] == install_horovod.VERSION
    assert [epoch.index for epoch in report.epochs] == [0]


@needs_horovod
def test_a_failing_worker_fails_the_launch(tracked_env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*HOROVODRUN, *TRAIN, "--batch-size", "97"],
        env=tracked_env | ON_CPU,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode != 0
    assert "a global batch of 97 cannot be shared evenly by 2 workers" in done.stderr


@needs_horovod
def test_workers_that_horovod_was_not_told_of_are_refused(
    tracked_env: dict[str, str], tmp_path: Path
) -> None:
    """As they are under torchrun: each would train alone, and say that it was one of two."""
    of_two = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "none"}
    done = subprocess.run(
        TRAIN,
        env=tracked_env | ON_CPU | of_two,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert "worker 1 of 2 to torchrun, but 0 of 1 to Horovod; start it with `horovodrun" in (
        done.stderr
    )


def test_a_source_that_the_patches_are_not_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = (Patch("a.txt", "14", "20", "why"), Patch("b.txt", "old", "new", "why"))
    monkeypatch.setattr(install_horovod, "PATCHES", changes)
    (tmp_path / "a.txt").write_text("CXX 14, 14")
    (tmp_path / "b.txt").write_text("otherwise")
    with pytest.raises(InstallError, match=r"b\.txt does not read 'old'; its patch is for 0\.28"):
        install_horovod.patch(tmp_path)
    assert (tmp_path / "a.txt").read_text() == "CXX 20, 20"


def test_it_is_built_on_every_core_also_when_a_makefile_asks_for_it() -> None:
    every = f"-j{len(os.sched_getaffinity(0))}"
    choices = {"HOROVOD_WITH_GLOO": "1", "HOROVOD_WITHOUT_MPI": "1"}
    asked_for = {"HOROVOD_WITHOUT_MPI": "", "PATH": "/bin"}
    for environ, flags in (
        (asked_for, every),
        (asked_for | {"MAKEFLAGS": "-j1"}, "-j1"),
        (asked_for | {"MAKEFLAGS": " --no-print-directory", "MAKELEVEL": "2"}, every),
    ):
        built_with = install_horovod.environ_of_build(choices, environ)
        assert built_with["MAKEFLAGS"] == flags
        assert (built_with["HOROVOD_WITH_GLOO"], built_with["HOROVOD_WITHOUT_MPI"]) == ("1", "")
        assert built_with["PATH"] == "/bin"


def test_without_a_compiler_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert install_horovod.main() == 1
    said = capsys.readouterr().err
    assert "built by no-such-compiler and make" in said
    assert "apt-get install g++" in said
    assert not (tmp_path / ".horovod").exists()


def test_what_was_built_for_this_pytorch_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")  # It would fail if it tried.
    (tmp_path / ".horovod").write_text(install_horovod.wanted())
    assert install_horovod.main() == 0
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(torch, "__version__", "3.0.0")
    assert install_horovod.main() == 1
