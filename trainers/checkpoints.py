"""A training as it was after an epoch, on disk, so that another process can go on with it."""

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch

from carbon.errors import UsageError
from trainers.strategies.base import FullState

Identity: TypeAlias = Mapping[str, str | int | float | None]
"""What must be the same to go on: the task, its model, and what decides the steps."""

FILE = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """After `epochs_trained` epochs.

    Attributes:
        run_id: of the run that saved it.
        state: whole tensors, so that any strategy and number of workers can go on from it.
    """

    run_id: str
    epochs_trained: int
    identity: Identity
    state: FullState


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Put it in place of the one before, in one step: a process may be killed at any moment.

    Raises:
        UsageError: the folder cannot be written.
    """
    new = folder / f".{FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as file:
            torch.save({**vars(checkpoint), "identity": dict(checkpoint.identity)}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / FILE)
    except OSError as error:
        raise UsageError(f"--checkpoint {folder}: cannot be written: {error.strerror}") from error


def load(folder: Path, identity: Identity, epochs: int) -> Checkpoint:
    """Return the checkpoint in `folder`, to go on to `epochs` epochs.

    Raises:
        UsageError: there is none, or it cannot be read, is of another training, or complete.
    """
    path = folder / FILE
    try:
        checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise UsageError(
            f"--resume: there is no checkpoint {path}; start without --resume to begin anew"
        ) from error
    except (OSError, RuntimeError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"--resume: {path} cannot be read as a checkpoint; start without --resume to begin anew"
        ) from error
    for key, value in identity.items():
        was = checkpoint.identity.get(key)
        if was != value:
            raise UsageError(
                f"--resume: {path} is of a training with {key}={was!r}, not {value!r}; give the "
                "same again, or another --checkpoint"
            )
    if checkpoint.epochs_trained >= epochs:
        raise UsageError(
            f"--resume: {path} has {checkpoint.epochs_trained} epochs already and --epochs is "
            f"{epochs}; ask for more epochs to train on"
        )
    return checkpoint
