"""Handwritten digits: a small convolutional network on 1,797 real images of 8 x 8 pixels.

The images come with scikit-learn, so nothing is downloaded. They are the test part of E. Alpaydin
and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://archive.ics.uci.edu/dataset/80: how many pixels, 0 to 16, are set in each 4 x 4 block of a
32 x 32 bitmap.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.tasks.base import DataError, Examples, Size

SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
"""Of the pixels, then the labels, one byte each."""

TRAINING_IMAGES = 1440
SPLIT_SEED = 1998
BRIGHTEST = 16.0
MOVES = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]
"""How many pixels down and to the right each copy of the training images is moved."""


@dataclass(frozen=True)
class Scale:
    """How large a size is: the width of the network and how often it sees each image."""

    model_name: str
    width: int
    copies: int


SCALES: dict[Size, Scale] = {
    "small": Scale("digits-cnn", width=80, copies=1),
    "medium": Scale("digits-cnn-160", width=160, copies=3),
    "large": Scale("digits-cnn-512", width=512, copies=len(MOVES)),
}


class Digits:
    """Tell the digit from its image.

    There are no more images than these. A larger size has a wider network, and an epoch of it has
    copies of the same training images, moved by a pixel; so has weak scaling, which from the tenth
    copy on repeats them.

    An epoch's steps take 2, 18 and 570 s of CPU time; `Size` says how it was measured.
    """

    name = "digits"
    metric = "accuracy"
    higher_is_better = True
    learning_rate = 1e-3
    batch_size = 96
    warm_up_steps = 0

    def __init__(self, size: Size = "small") -> None:
        self.size = size
        self.scale = SCALES[size]
        self.model_name = self.scale.model_name
        self.n_training_examples = TRAINING_IMAGES * self.scale.copies

    def model(self) -> nn.Module:
        """Return four convolutions of one width and a linear layer; small has 177,050 weights.

        All convolutions work on the full 8 x 8 pixels: much work for few weights, so that sharing
        the work out pays for the exchange of gradients.
        """
        width = self.scale.width
        return nn.Sequential(  # (B, 1, 8, 8)
            nn.Conv2d(1, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.ReLU(),  # (B, width, 8, 8)
            nn.MaxPool2d(4),  # (B, width, 2, 2)
            nn.Flatten(),  # (B, 4 * width)
            nn.Linear(4 * width, 10),  # (B, 10)
        )

    def data(self, n_times: int = 1) -> tuple[Examples, Examples]:
        """Return 1,440 training images or copies of them, 357 test images, and their labels.

        Images are (N, 1, 8, 8) from 0 to 1, labels (N,).
        """
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = torch.from_numpy(digits.images).to(torch.uint8)  # (N, 8, 8)
        labels = torch.from_numpy(digits.target).to(torch.uint8)  # (N,)
        check(pixels, labels)
        examples = Examples(pixels.unsqueeze(1).float() / BRIGHTEST, labels.long())
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(SPLIT_SEED))
        training, test = examples[order[:TRAINING_IMAGES]], examples[order[TRAINING_IMAGES:]]
        n_copies = self.scale.copies * n_times
        copies = [moved(training.inputs, *MOVES[i % len(MOVES)]) for i in range(n_copies)]
        return Examples(torch.cat(copies), training.targets.repeat(n_copies)), test

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy: (B, 10), (B,) -> (B,)."""
        return functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, and 1 for each digit told right: (B, 10), (B,) -> (B,) each."""
        return {
            "loss": self.loss(outputs, targets),
            "accuracy": (outputs.argmax(dim=1) == targets).float(),
        }


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Return the images, (N, 1, 8, 8), moved by at most a pixel; what comes in is dark."""
    padded = functional.pad(images, (1, 1, 1, 1))  # (N, 1, 10, 10)
    return padded[:, :, 1 - down : 9 - down, 1 - right : 9 - right]  # (N, 1, 8, 8)


def check(pixels: Tensor, labels: Tensor) -> None:
    """Make sure that these are the images every other run was trained on.

    Args:
        pixels: (N, 8, 8), uint8.
        labels: (N,), uint8.

    Raises:
        DataError: their checksum is another one.
    """
    found = hashlib.sha256(pixels.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    if found != SHA256:
        raise DataError(
            f"the digits bundled with scikit-learn have checksum {found}, not {SHA256}; results "
            "would not compare with those of other runs, so install an unchanged scikit-learn"
        )
