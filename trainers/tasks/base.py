"""What a task has to say for itself to be trained by any strategy, at any size."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self

import torch
from torch import Tensor, nn

from carbon.errors import CarbonError

Size = Literal["small", "medium", "large"]
"""Ten epochs on one CPU core take seconds, minutes or hours.

The tasks say how much CPU time an epoch's steps took on one core of a two-core Xeon at 2.8 GHz,
shared with other programs, with torch 2.13: the mean of 14 to 19 steps for small, 7 to 11 for
medium and one or two for large, after the first one, times the steps of an epoch.
"""

Make = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class DataError(CarbonError):
    """The data are not those the task was written for."""


@dataclass(frozen=True)
class Examples:
    """N examples: `inputs` (N, ...) and `targets` (N, ...), on one device.

    A large set is kept small: as bytes, or as the few numbers that an image is drawn from. `make`
    turns the stored rows of a batch into what the model and the loss take, whenever some are asked
    for by their numbers. It is None where they are stored as such, and for a batch.
    """

    inputs: Tensor
    targets: Tensor
    make: Make | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: Tensor) -> "Examples":
        inputs, targets = self.inputs[rows], self.targets[rows]
        return Examples(*((inputs, targets) if self.make is None else self.make(inputs, targets)))

    def to(self, device: torch.device) -> Self:
        """Return a copy on `device`."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))


class Task(Protocol):
    """A model, its data and how well it does on them.

    `loss` and `metrics` answer for each example on its own, shape (B,), so that a strategy may
    split a batch over any number of workers, evenly or not, and still get the mean over the whole.
    For the same reason a model must not mix the examples of a batch: no BatchNorm. Nor may it draw
    at random while it trains: no dropout.

    Attributes:
        name: what the command line calls it.
        size: how much work it is; the task's class takes it.
        model_name: what the reports call its model, another one for each size.
        metric: the one of `metrics` to judge a model by.
        higher_is_better: whether a model is the better the higher `metric` is.
        learning_rate, batch_size: what suits it, for Adam and all workers together.
        warm_up_steps: over how many first steps the learning rate rises to its value.
        n_training_examples: how many there are in one epoch, known without making the data.
    """

    name: str
    size: Size
    model_name: str
    metric: str
    higher_is_better: bool
    learning_rate: float
    batch_size: int
    warm_up_steps: int
    n_training_examples: int

    def model(self) -> nn.Module:
        """Return a new model, its weights drawn from torch's global generator."""
        ...

    def data(self, n_times: int = 1) -> tuple[Examples, Examples]:
        """Return the training and the test examples, the same ones on every call.

        Args:
            n_times: how many times `n_training_examples` to return for training, for weak scaling:
                as many times as there are workers, each has as much to do as one alone. The first
                ones are those of `n_times` = 1, and the test examples do not change.

        Raises:
            DataError: the data are not those the task was written for.
        """
        ...

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return what training minimises, of each example: (B, ...), (B, ...) -> (B,)."""
        ...

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return what is reported, by name, of each example: (B, ...), (B, ...) -> (B,) each."""
        ...


def joined(parts: Sequence[Examples]) -> Examples:
    """Return the examples of all parts, which are stored in one way, as one."""
    return Examples(
        torch.cat([part.inputs for part in parts]),
        torch.cat([part.targets for part in parts]),
        parts[0].make,
    )


def checked(
    what: str, sha256: str, training: Sequence[Examples], test: Examples
) -> tuple[Examples, Examples]:
    """Return all training examples as one, and the test examples, as they are stored.

    Args:
        what: the data's name in the error.
        sha256: as `check` takes it, of the first part of `training` and of `test`.

    Raises:
        DataError: their checksum is another one.
    """
    first = training[0]
    check(what, sha256, first.inputs, first.targets, test.inputs, test.targets)
    return joined(training), test


def check(what: str, sha256: str, *tensors: Tensor) -> None:
    """Make sure that made data are those every other run was trained on.

    A float is right or wrong in its last bit with the processor and the version of a library. So
    tasks draw whole numbers (`trainers.tasks.draws`) and store whole numbers: results of integer
    arithmetic, or of float64 arithmetic rounded to steps that are a thousand million times wider
    than its error.

    Args:
        what: the data's name in the error.
        sha256: of the tensors' bytes, one after the other, the lowest byte of a number first.
        tensors: whole numbers, any shape.

    Raises:
        DataError: their checksum is another one.
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        array = tensor.contiguous().numpy()
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    if digest.hexdigest() != sha256:
        raise DataError(
            f"the data made for {what} have checksum {digest.hexdigest()}, not {sha256}; results "
            "would not compare with those of other runs, so use an unchanged copy of "
            "trainers/tasks and the versions of torch and numpy in constraints.txt"
        )
