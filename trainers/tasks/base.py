"""What a task has to say for itself to be trained by any strategy."""

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from carbon.errors import CarbonError


class DataError(CarbonError):
    """The data are not those the task was written for."""


@dataclass(frozen=True)
class Examples:
    """N examples: `inputs` (N, ...) and `targets` (N, ...), on one device."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: Tensor) -> "Examples":
        return Examples(self.inputs[rows], self.targets[rows])

    def to(self, device: torch.device) -> Self:
        """Return a copy on `device`."""
        return type(self)(self.inputs.to(device), self.targets.to(device))


class Task(Protocol):
    """A model, its data and how well it does on them.

    `loss` and `metrics` answer for each example on its own, shape (B,), so that a strategy may
    split a batch over any number of workers, evenly or not, and still get the mean over the whole.
    For the same reason a model must not mix the examples of a batch: no BatchNorm.

    Attributes:
        name: what the command line calls it.
        model_name: what the reports call its model.
    """

    name: str
    model_name: str

    def model(self) -> nn.Module:
        """Return a new model, its weights drawn from torch's global generator."""
        ...

    def data(self) -> tuple[Examples, Examples]:
        """Return the training and the test examples, the same ones on every call.

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
