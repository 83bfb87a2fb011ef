"""Emulator: a network in place of a numerical integration, here of the Lorenz-96 system.

E. N. Lorenz, "Predictability: a problem partly solved", ECMWF Seminar on Predictability, 1996, and
E. N. Lorenz and K. A. Emanuel, "Optimal Sites for Supplementary Weather Observations", J. Atmos.
Sci. 55, 399-414, 1998, https://doi.org/10.1175/1520-0469(1998)055<0399:OSFSWO>2.0.CO;2:
dx_k/dt = (x_{k+1} - x_{k-2}) x_{k-1} - x_k + F on a ring of K variables, chaotic for F = 8.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from trainers.tasks.base import Examples, Size, checked
from trainers.tasks.draws import draw_between

FORCING = 8.0
STEP = 0.05
"""Of the integration, in the system's time; Lorenz takes it for six hours."""

SPIN_UP_STEPS = 60
LEAD_STEPS = 4
PAIRS = 8
"""Of states that follow one another, from each start."""

MEAN, DEVIATION = 2.34, 3.64
"""Of a variable over time and ring, for F = 8 and K = 40, rounded."""

STEPS_PER_UNIT = 1024.0
"""States are stored in steps of 1/1024, from -32 to 32."""

CHUNK = 2048


@dataclass(frozen=True)
class Scale:
    """How large a size is. `variables` is K."""

    model_name: str
    variables: int
    training: int
    test: int
    width: int
    depth: int


SCALES: dict[Size, Scale] = {
    "small": Scale("emulator-mlp-128", 8, 4096, 1024, width=128, depth=2),
    "medium": Scale("emulator-mlp-512", 40, 65536, 4096, width=512, depth=3),
    "large": Scale("emulator-mlp-4096", 40, 131072, 8192, width=4096, depth=3),
}
SHA256: dict[Size, str] = {
    "small": "7b71c650c63e2a7f40f206502c3debdb0ec955ca14e5ffa3a46c5cc455f19658",
    "medium": "2d3f6b64932dbd257f62b7ba97fe50962dcf700dd26ccc3b5b934153afca0133",
    "large": "13a31db8778ffed965e6c11b7556fc8d85aa4d140e7a81a970714e35311a8d65",
}


class Emulator:
    """Tell the state four steps later, of 0.05 each, from the state now.

    An epoch's steps take 0.1, 6 and 660 s of CPU time; `Size` says how it was measured.
    """

    name = "emulator"
    metric = "rmse"
    higher_is_better = False
    learning_rate = 1e-3
    batch_size = 128
    warm_up_steps = 0

    def __init__(self, size: Size = "small") -> None:
        self.size = size
        self.scale = SCALES[size]
        self.model_name = self.scale.model_name
        self.n_training_examples = self.scale.training

    def model(self) -> nn.Module:
        """Return a network of equal layers that says what is added to the state."""
        return Surrogate(self.scale.variables, self.scale.width, self.scale.depth)

    def data(self, n_times: int = 1) -> tuple[Examples, Examples]:
        """Return states, (N, K), and the states 0.2 later, (N, K)."""
        variables = self.scale.variables
        training = [made(f"training {i}", self.scale.training, variables) for i in range(n_times)]
        test = made("test", self.scale.test, variables)
        return checked(f"emulator {self.size}", SHA256[self.size], training, test)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error over the ring, in variances: (B, K), (B, K) -> (B,)."""
        return ((outputs - targets) / DEVIATION).square().mean(dim=1)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, and its root in the unit of x: (B, K), (B, K) -> (B,) each."""
        loss = self.loss(outputs, targets)
        return {"loss": loss, "rmse": loss.sqrt() * DEVIATION}


class Surrogate(nn.Module):
    """The state now, and what a network of `depth` layers of one width adds to it."""

    def __init__(self, variables: int, width: int, depth: int) -> None:
        super().__init__()
        sizes = [variables] + [width] * depth
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.GELU()]
        self.network = nn.Sequential(*layers, nn.Linear(width, variables))

    def forward(self, state: Tensor) -> Tensor:
        """Return the state 0.2 later: (B, K) -> (B, K)."""
        later: Tensor = state + DEVIATION * self.network((state - MEAN) / DEVIATION)
        return later


def made(label: str, n: int, variables: int) -> Examples:
    """Return `n` examples, stored in steps: (n, K) each, int16.

    Each start is a place of its own and gives eight of them, once it is mostly forgotten. So errors
    in the last bit, if there were any, could grow by chaos for less than five units of time only,
    some thousand times.
    """
    now, later = [], []
    for start in range(0, n // PAIRS, CHUNK):
        shape = (min(CHUNK, n // PAIRS - start), variables)
        state = draw_between(f"emulator {label} {start}", shape, 0.0, FORCING)
        states = [integrated(state, SPIN_UP_STEPS)]
        for _ in range(PAIRS):
            states.append(integrated(states[-1], LEAD_STEPS))
        now += states[:-1]
        later += states[1:]
    inputs, targets = (
        torch.cat(parts).mul(STEPS_PER_UNIT).round().to(torch.int16) for parts in (now, later)
    )
    return Examples(inputs, targets, make=in_units)


def in_units(state: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
    """Return what was stored in steps as floats."""
    return state.float() / STEPS_PER_UNIT, later.float() / STEPS_PER_UNIT


def integrated(state: Tensor, steps: int) -> Tensor:
    """Return the state `steps` steps later, by the classical Runge-Kutta method of order four.

    W. Kutta, "Beitrag zur näherungsweisen Integration totaler Differentialgleichungen", Zeitschrift
    für Mathematik und Physik 46, 435-453, 1901. There are only sums and products, which IEEE 754
    defines to the last bit.

    Args:
        state: (n, K), float64.
        steps: of 0.05 each.
    """
    for _ in range(steps):
        k1 = tendency(state)  # (n, K)
        k2 = tendency(state + k1 * (STEP / 2))
        k3 = tendency(state + k2 * (STEP / 2))
        k4 = tendency(state + k3 * STEP)
        state = state + (k1 + 2 * k2 + 2 * k3 + k4) * (STEP / 6)
    return state


def tendency(state: Tensor) -> Tensor:
    """Return dx/dt: (n, K) -> (n, K)."""
    ahead, behind, two_behind = (state.roll(by, dims=1) for by in (-1, 1, 2))
    return (ahead - two_behind) * behind - state + FORCING
