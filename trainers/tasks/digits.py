"""Handwritten digits: a small convolutional network on 1,797 real images of 8 x 8 pixels.

The images come with scikit-learn, so nothing is downloaded. They are the test part of E. Alpaydin
and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://archive.ics.uci.edu/dataset/80: how many pixels, 0 to 16, are set in each 4 x 4 block of a
32 x 32 bitmap.
"""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.tasks.base import DataError, Examples

SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
"""Of the pixels, then the labels, one byte each."""

TRAINING_EXAMPLES = 1440
SPLIT_SEED = 1998
BRIGHTEST = 16.0
WIDTH = 80


class Digits:
    """Tell the digit from its image."""

    name = "digits"
    model_name = "digits-cnn"

    def model(self) -> nn.Module:
        """Return four convolutions of one width and a linear layer, 177,050 weights.

        All convolutions work on the full 8 x 8 pixels: much work for few weights, so that sharing
        the work out pays for the exchange of gradients.
        """
        return nn.Sequential(  # (B, 1, 8, 8)
            nn.Conv2d(1, WIDTH, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1),
            nn.ReLU(),  # (B, WIDTH, 8, 8)
            nn.MaxPool2d(4),  # (B, WIDTH, 2, 2)
            nn.Flatten(),  # (B, 4 * WIDTH)
            nn.Linear(4 * WIDTH, 10),  # (B, 10)
        )

    def data(self) -> tuple[Examples, Examples]:
        """Return 1,440 training and 357 test images, (N, 1, 8, 8) from 0 to 1, and labels, (N,)."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = torch.from_numpy(digits.images).to(torch.uint8)  # (N, 8, 8)
        labels = torch.from_numpy(digits.target).to(torch.uint8)  # (N,)
        check(pixels, labels)
        examples = Examples(pixels.unsqueeze(1).float() / BRIGHTEST, labels.long())
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(SPLIT_SEED))
        return examples[order[:TRAINING_EXAMPLES]], examples[order[TRAINING_EXAMPLES:]]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy: (B, 10), (B,) -> (B,)."""
        return functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, and 1 for each digit told right: (B, 10), (B,) -> (B,) each."""
        return {
            "loss": self.loss(outputs, targets),
            "accuracy": (outputs.argmax(dim=1) == targets).float(),
        }


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
