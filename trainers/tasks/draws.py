"""Random whole numbers that are the same on every machine and with every version of a library."""

import hashlib
import math

import numpy as np
import torch
from torch import Tensor


def draw(label: str, shape: tuple[int, ...], below: int = 2**16) -> Tensor:
    """Return whole numbers from 0 to `below` - 1, all equally likely to one part in 65,536.

    They are the output of SHAKE-256 for `label`, four bytes each: a standard (FIPS 202,
    https://doi.org/10.6028/NIST.FIPS.202), which the generators of torch and numpy are not. Another
    label gives other numbers; more numbers of one label begin with the fewer ones.

    Args:
        label: names these numbers.
        shape: of what is returned, in int64.
        below: at most 65,536.
    """
    numbers = np.frombuffer(_random_bytes(label, 4 * math.prod(shape)), dtype="<u4")
    return torch.from_numpy(numbers.astype(np.int64) * below >> 32).reshape(shape)


def draw_between(label: str, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """Return float64 numbers from `low` to `high`, in 65,536 steps."""
    return low + draw(label, shape).double() * ((high - low) / 2**16)


def draw_noise(label: str, shape: tuple[int, ...]) -> Tensor:
    """Return float64 noise of mean 0 and variance 1, nearly normal: the sum of four even bytes.

    P. Hall, "The distribution of means for samples of size N drawn from a population in which the
    variate takes values between 0 and 1", Biometrika 19, 1927, https://doi.org/10.2307/2331961.
    """
    numbers = np.frombuffer(_random_bytes(label, 4 * math.prod(shape)), dtype=np.uint8)
    total = torch.from_numpy(numbers.reshape(*shape, 4).sum(axis=-1, dtype=np.int64)).double()
    return (total - 4 * 127.5) / math.sqrt(4 * (256**2 - 1) / 12)


def _random_bytes(label: str, n: int) -> bytes:
    return hashlib.shake_256(label.encode()).digest(n)
