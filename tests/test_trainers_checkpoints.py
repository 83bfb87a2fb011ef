"""Checkpoints: whole or not there, and of this training only."""

from pathlib import Path

import pytest
import torch

from carbon.errors import UsageError
from trainers import checkpoints
from trainers.checkpoints import FILE, Checkpoint

IDENTITY: dict[str, str | int | float | None] = {
    "task": "digits",
    "size": "small",
    "learning_rate": 0.001,
}
STATE = {"weights": {"a": torch.arange(3.0)}, "optimizer": {"a": {"step": torch.tensor(2.0)}}}


def saved(folder: Path, epochs_trained: int = 2) -> Checkpoint:
    checkpoint = Checkpoint("run", epochs_trained, IDENTITY, STATE)
    checkpoints.save(folder, checkpoint)
    return checkpoint


def test_what_was_saved_last_is_loaded_and_nothing_else_is_left(tmp_path: Path) -> None:
    saved(tmp_path / "new", 1)
    saved(tmp_path / "new", 2)
    found = checkpoints.load(tmp_path / "new", IDENTITY, epochs=3)
    assert (found.run_id, found.epochs_trained, found.identity) == ("run", 2, IDENTITY)
    torch.testing.assert_close(found.state, STATE)
    assert [each.name for each in (tmp_path / "new").iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("identity", "epochs", "complaint"),
    [
        (IDENTITY | {"task": "gpt"}, 3, "task='digits', not 'gpt'"),
        (IDENTITY | {"size": "large"}, 3, "size='small', not 'large'"),
        (IDENTITY | {"learning_rate": 0.1}, 3, "learning_rate=0.001, not 0.1"),
        (IDENTITY, 2, "has 2 epochs already and --epochs is 2"),
    ],
)
def test_another_training_does_not_go_on_from_it(
    identity: dict[str, str | int | float | None], epochs: int, complaint: str, tmp_path: Path
) -> None:
    saved(tmp_path)
    with pytest.raises(UsageError, match=complaint):
        checkpoints.load(tmp_path, identity, epochs)


def test_there_has_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no checkpoint .*start without --resume"):
        checkpoints.load(tmp_path, IDENTITY, 3)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_file_that_is_none_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UsageError, match=f"{FILE} cannot be read as a checkpoint"):
        checkpoints.load(tmp_path, IDENTITY, 3)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--checkpoint .*file: cannot be written"):
        saved(tmp_path / "file")
