"""What a study is, from a file and from a command line, and what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest

from carbon.errors import UsageError
from carbon.study.spec import StudySpec, extended, make_spec, read_document, write_document
from tests.fixtures.studies import make_study

ROOT = Path(__file__).parent.parent


def test_the_example_is_a_study() -> None:
    spec = make_spec(read_document(ROOT / "docs" / "study.yaml"))
    assert spec.strategies == ["ddp", "fsdp", "deepspeed"]
    assert (spec.workers, spec.repeats, spec.slurm.workers_per_node) == ([1, 2], 3, 4)


def test_a_study_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    spec = make_study(task="digits", scaling="weak", slurm={"setup": ["module load ü"]})
    (tmp_path / "study.yaml").write_text(write_document(spec))
    assert make_spec(read_document(tmp_path / "study.yaml")) == spec


@pytest.mark.parametrize(
    ("fields", "project"),
    [({}, "s"), ({"task": "digits"}, "digits"), ({"task": "digits", "project": "p"}, "p")],
)
def test_the_project_is_the_task_unless_told(fields: dict[str, Any], project: str) -> None:
    assert make_study(**fields).project == project


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": "", "project": "p"}, "name is ''"),
        ({"name": "a/b"}, "name is 'a/b': a folder is named by it"),
        ({"name": "a\nb"}, "name is 'a\\nb': a folder"),
        ({"strategies": []}, "strategies is []"),
        ({"strategies": ["best"]}, "strategies.0 is 'best'"),
        ({"strategies": ["ddp", "ddp"]}, "strategies is ['ddp', 'ddp']: ddp is there twice"),
        ({"strategies": ["single"], "workers": [2]}, "'single' runs with one worker"),
        ({"workers": [0]}, "workers.0 is 0"),
        ({"workers": ["two"]}, "workers.0 is 'two'"),
        ({"repeats": 0}, "repeats is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"sedd": 1}, "sedd: there is no such field"),
        ({"slurm": {"nodes": 1}}, "slurm.nodes: there is no such field"),
        ({"slurm": {"time": 5400}}, "slurm.time is 5400: put it in quotes"),
        ({"slurm": {"options": ["a100"]}}, "'a100' is no option of sbatch"),
        ({"slurm": {"account": "a\n#SBATCH -n 9"}}, "slurm.account is"),
        ({"command": None}, "give either a task or a command"),
        ({"task": "digits", "command": ["work"]}, "give either a task or a command"),
        ({"task": "digits", "strategies": ["other"]}, "'other' is for a command of your own"),
        ({"task": "digits", "arguments": ["python"]}, "'python' is no option of the trainers"),
        ({"task": "digits", "size": "huge"}, "size is 'huge'"),
        ({"task": "nope"}, "task: 'nope' is none of the trainers': digits, virgo"),
        (
            {"task": "digits", "workers": [1, 2], "batch_size": 97},
            "batch_size: 97 cannot be shared evenly by 2 workers",
        ),
        ({"command": ["work"]}, "command: none of its words has {workers}"),
        ({"epochs": 3}, "epochs: is for a task"),
        ({"launcher": "ssh"}, "launcher is 'ssh'"),
        ({"launcher": "ray"}, "'ddp' does not run on a Ray cluster"),
        (
            {"launcher": "slurm", "workers": [5], "slurm": {"workers_per_node": 4}},
            "5 cannot be divided evenly among 2 nodes",
        ),
        (
            {
                "task": "digits",
                "launcher": "slurm",
                "strategies": ["ray-ddp"],
                "workers": [8],
                "slurm": {"workers_per_node": 4},
            },
            "Ray on 2 nodes needs a cluster of its own",
        ),
    ],
)
def test_a_wrong_field_is_named_in_a_line(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_study(**fields)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_wrong_field_has_a_line() -> None:
    with pytest.raises(UsageError) as caught:
        make_spec({"name": "s", "repeats": 0, "task": "digits", "workers": [1]}, "a.yaml")
    lines = str(caught.value).splitlines()
    assert lines[0] == "a.yaml: strategies is missing"
    assert lines[1].startswith("a.yaml: repeats is 0: ")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "No such file"),
        ("- a\n- b\n", "a study is a mapping"),
        ("name: [1\ntask: x\n", "line 2: no YAML"),
        ("name: \x01", "no YAML"),
        (b"\xff\xfe\xff", "study.yaml: "),
    ],
)
def test_a_file_that_is_no_study_is_named(
    text: str | bytes | None, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "study.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        read_document(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "more",
    [{"repeats": 5}, {"workers": [1, 2, 4]}, {"strategies": ["fsdp", "ddp"]}, {}],
)
def test_a_study_may_grow(more: dict[str, Any]) -> None:
    kept = make_study(threads_per_worker=3)
    grown = extended(kept, make_study(**more))
    assert grown == make_study(**more, threads_per_worker=3), "threads stay as they were"


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"repeats": 2}, "2 repeats, not 3"),
        ({"workers": [2]}, "workers without 1"),
        ({"strategies": ["fsdp"]}, "strategies without ddp"),
        ({"seed": 1}, "seed 1, not 0"),
        ({"command": ["rest", "{workers}"]}, "command ['rest', '{workers}'], not ['work'"),
        ({"launcher": "slurm"}, "launcher 'slurm', not 'local'"),
        ({"threads_per_worker": 2}, "threads_per_worker 2, not 1"),
    ],
)
def test_a_study_may_not_become_another(other: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match="study 's' was begun otherwise") as caught:
        extended(make_study(threads_per_worker=1), make_study(**other))
    assert named in str(caught.value)


def test_nodes_follow_from_the_workers_of_each() -> None:
    slurm = make_study(slurm={"workers_per_node": 4}).slurm
    assert [slurm.nodes(workers) for workers in (1, 4, 8)] == [1, 1, 2]
    assert StudySpec.model_fields["slurm"].default.nodes(64) == 1
