"""How each strategy is started: the same training, by its own launcher."""

import sys

import pytest

from carbon.study.commands import horovodrun, of_run, training
from carbon.study.plan import Configuration, PlannedRun
from tests.fixtures.studies import make_study

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3"]


@pytest.mark.parametrize(
    ("strategy", "before", "after"),
    [
        ("single", [sys.executable], []),
        ("ddp", TORCHRUN, []),
        ("fsdp", TORCHRUN, []),
        ("deepspeed", TORCHRUN, []),
        ("horovod", [horovodrun(), "-np", "3", sys.executable], []),
        ("ray-ddp", [sys.executable], ["--workers", "3"]),
        ("ray-deepspeed", [sys.executable], ["--workers", "3"]),
    ],
)
def test_each_strategy_has_its_launcher(strategy: str, before: list[str], after: list[str]) -> None:
    words = training(strategy, 3, ["--task", "digits"])
    worker = ["-m", "trainers.train", "--strategy", strategy, "--task", "digits"]
    assert words == [*before, *worker, *after]


def test_what_is_not_said_is_left_to_the_trainers() -> None:
    run = PlannedRun(Configuration("single", 1), 2)
    words = of_run(make_study(task="digits", project="p"), run)
    said = words[words.index("--task") :]
    assert said == [
        *("--task", "digits", "--seed", "0", "--project", "p"),
        *("--study", "s", "--name", "single x1, repeat 2"),
    ]


def test_what_is_said_reaches_the_trainers() -> None:
    spec = make_study(
        task="digits",
        size="medium",
        epochs=4,
        batch_size=64,
        learning_rate=0.01,
        scaling="weak",
        seed=7,
        arguments=["--zero-stage", "3"],
    )
    words = of_run(spec, PlannedRun(Configuration("deepspeed", 2), 1))
    for option, value in {
        "--size": "medium",
        "--epochs": "4",
        "--batch-size": "64",
        "--learning-rate": "0.01",
        "--scaling": "weak",
        "--seed": "7",
        "--zero-stage": "3",
    }.items():
        assert words[words.index(option) + 1] == value


def test_a_command_is_told_what_it_asks_for_and_measured_as_what_it_is() -> None:
    spec = make_study(
        command=["./sim", "-n{workers}", "{strategy}/{repeat}/{name}/{seed}", "{print $1}"], seed=5
    )
    words = of_run(spec, PlannedRun(Configuration("fsdp", 2), 3))
    dashes = words.index("--")
    assert words[dashes + 1 :] == ["./sim", "-n2", "fsdp/3/s/5", "{print $1}"]
    assert words[:5] == [sys.executable, "-m", "carbon", "run", "--project"]
    for option, value in {"--study": "s", "--strategy": "fsdp", "--workers": "2"}.items():
        assert words[words.index(option) + 1] == value
