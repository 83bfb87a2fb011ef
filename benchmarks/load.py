"""Work for a GPU: a script, in the environment of the training.

    python load.py KIND READY

KIND is `bursty` (0.2 s of every 0.7 s) or `full`; READY is a file that it writes once it works. It
goes on until it is ended, and exits with code 3 where torch finds no GPU.
"""

import sys
import time
from pathlib import Path

import torch

SIZE = 8192
PERIOD_S = 0.7
BURST_S = 0.2
NO_GPU = 3


def main() -> None:
    kind, ready = sys.argv[1:]
    if not torch.cuda.is_available():
        sys.exit(NO_GPU)
    matrix = torch.randn(SIZE, SIZE, device="cuda", dtype=torch.float16)
    burst(matrix)
    Path(ready).write_text(repr(time.monotonic()), encoding="utf-8")
    while True:
        began_s = time.monotonic()
        burst(matrix)
        if kind == "bursty":
            time.sleep(max(began_s + PERIOD_S - time.monotonic(), 0.0))


def burst(matrix: torch.Tensor) -> None:
    """Multiply for a while."""
    until_s = time.monotonic() + BURST_S
    while time.monotonic() < until_s:
        torch.mm(matrix, matrix)
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
