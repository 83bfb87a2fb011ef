"""Glitch generator: from a detector's auxiliary channels to the glitches in its strain.

What the Virgo pilot of interTwin does (https://github.com/interTwin-eu/DT-Virgo-dags), and
R. Ormiston et al., "Noise reduction in gravitational-wave data via deep learning", Phys. Rev.
Research 2, 033066, 2020, https://doi.org/10.1103/PhysRevResearch.2.033066: a network learns how
disturbances that sensors witness couple into the strain, so that they can be simulated, or taken
off. Here the channels and the strain are synthetic, with three sorts of glitches named as in
M. Zevin et al., "Gravity Spy", Class. Quantum Grav. 34, 064003, 2017,
https://doi.org/10.1088/1361-6382/aa5cea.
"""

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.tasks.base import Examples, Size, checked
from trainers.tasks.draws import draw, draw_between, draw_noise

SAMPLE_RATE_HZ = 512
CHANNELS = 3
STEPS_PER_UNIT = 2048.0
"""Channels and strain are stored in steps of 1/2048, from -16 to 16."""

SENSOR_NOISE = 0.05
STRAIN_NOISE = 0.15
CHUNK = 256


@dataclass(frozen=True)
class Scale:
    """How large a size is. `samples` are those of one channel in one example, T."""

    model_name: str
    samples: int
    training: int
    test: int
    width: int
    depth: int
    learning_rate: float


SCALES: dict[Size, Scale] = {
    "small": Scale("virgo-unet-16", 256, 768, 256, width=16, depth=3, learning_rate=3e-3),
    "medium": Scale("virgo-unet-32", 1024, 1536, 256, width=32, depth=4, learning_rate=1e-3),
    "large": Scale("virgo-unet-64", 4096, 4096, 512, width=64, depth=5, learning_rate=5e-4),
}
SHA256: dict[Size, str] = {
    "small": "f65dfca7f764090f82a0ddabc62b01cccc38d7233961e77871a9f62860e2600f",
    "medium": "e6d4f16cb1271c5d341ebb8c1491b5c5e31cc490d5764fab663bd2293ab77d73",
    "large": "b642cd3ae44b899d09062748b96dc563ca3f0ab0c918499df37107dcb0662889",
}


class Virgo:
    """Tell the strain from three auxiliary channels, all in units of their usual size.

    An epoch's steps take 2, 40 and 1,800 s of CPU time; `Size` says how it was measured.
    """

    name = "virgo"
    metric = "residual_ratio"
    higher_is_better = False
    batch_size = 32
    warm_up_steps = 0

    def __init__(self, size: Size = "small") -> None:
        self.size = size
        self.scale = SCALES[size]
        self.model_name = self.scale.model_name
        self.n_training_examples = self.scale.training
        self.learning_rate = self.scale.learning_rate

    def model(self) -> nn.Module:
        """Return a U-Net along time: (B, 3, T) -> (B, T)."""
        return UNet(self.scale.width, self.scale.depth)

    def data(self, n_times: int = 1) -> tuple[Examples, Examples]:
        """Return channels, (N, 3, T), and strain, (N, T), sampled at 512 Hz."""
        training = [
            made(f"training {i}", self.scale.training, self.scale.samples) for i in range(n_times)
        ]
        test = made("test", self.scale.test, self.scale.samples)
        return checked(f"virgo {self.size}", SHA256[self.size], training, test)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error over time: (B, T), (B, T) -> (B,)."""
        return functional.mse_loss(outputs, targets, reduction="none").mean(dim=1)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, and how much of the strain is left: (B, T), (B, T) -> (B,) each.

        `residual_ratio` is the root mean square of the strain that is left when the generated one
        is taken off, over that before: 1 for a model that knows nothing. Noise that no channel
        witnesses stays in any case.
        """
        loss = self.loss(outputs, targets)
        return {
            "loss": loss,
            "residual_ratio": (loss / targets.square().mean(dim=1)).sqrt(),
        }


class UNet(nn.Module):
    """Down in time, level by level, and up again, with what each level saw on the way down.

    O. Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI
    2015, https://arxiv.org/abs/1505.04597, in one dimension. Without normalisation: how strong a
    glitch is matters. T must be a multiple of 2 ** depth.
    """

    def __init__(self, width: int, depth: int) -> None:
        """Take the channels C of the first level and the number of levels below it.

        Each level below has half as many samples in time, and as many channels up to 4 * C.
        """
        super().__init__()
        widths = [width * min(2**level, 4) for level in range(depth + 1)]
        pairs = list(pairwise(widths))
        self.first = convolution(CHANNELS, width)
        self.down = nn.ModuleList(convolution(above, below, stride=2) for above, below in pairs)
        self.up = nn.ModuleList(convolution(above + below, above) for above, below in pairs)
        self.last = nn.Conv1d(width, 1, kernel_size=1)

    def forward(self, channels: Tensor) -> Tensor:
        """Return the strain: (B, 3, T) -> (B, T)."""
        x = self.first(channels)  # (B, C, T)
        seen = []
        for down in self.down:
            seen.append(x)
            x = down(x)  # (B, C', T / 2), then (B, C'', T / 4) ...
        for up, above in zip(reversed(self.up), reversed(seen), strict=True):
            x = up(torch.cat([above, x.repeat_interleave(2, dim=2)], dim=1))  # (B, C, T)
        strain: Tensor = self.last(x)  # (B, 1, T)
        return strain.squeeze(1)  # (B, T)


def convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Module:
    """Return a layer that sees 9 samples at once: (B, C_in, T) -> (B, C_out, T / stride)."""
    return nn.Sequential(
        nn.Conv1d(channels_in, channels_out, kernel_size=9, stride=stride, padding=4), nn.GELU()
    )


def made(label: str, n: int, samples: int) -> Examples:
    """Return `n` examples, stored in steps: (n, 3, T) and (n, T), int16."""
    chunks = [
        chunk(f"virgo {label} {start}", min(CHUNK, n - start), samples)
        for start in range(0, n, CHUNK)
    ]
    channels, strain = (
        torch.cat(parts).mul(STEPS_PER_UNIT).round().clamp(-(2**15), 2**15 - 1).to(torch.int16)
        for parts in zip(*chunks, strict=True)
    )
    return Examples(channels, strain, make=in_units)


def in_units(channels: Tensor, strain: Tensor) -> tuple[Tensor, Tensor]:
    """Return what was stored in steps as floats."""
    return channels.float() / STEPS_PER_UNIT, strain.float() / STEPS_PER_UNIT


def chunk(label: str, n: int, samples: int) -> tuple[Tensor, Tensor]:
    """Return the channels, (n, 3, T), and the strain, (n, T), in float64.

    Each of three sources is active in half of the examples. The first couples as light scattered
    off a moving surface does, the second with a strength that follows the surface, the third
    through an amplifier that saturates; each of the latter is a few samples late.
    """
    uniform = partial(uniform_of, label, n)
    time_s = torch.arange(samples, dtype=torch.float64) / SAMPLE_RATE_HZ  # (T,)
    length_s = samples / SAMPLE_RATE_HZ
    active = draw(f"{label} active", (n, 3), below=2).double().unsqueeze(-1)  # (n, 3, 1)

    surface = (
        active[:, 0]
        * uniform("amplitude", 0.1, 0.5)
        * torch.sin(2 * math.pi * (uniform("motion_hz", 2, 6) * time_s + uniform("phase", 0, 1)))
    )  # (n, T), in wavelengths of the light
    burst = active[:, 1] * sine_gaussian(
        time_s - length_s * uniform("burst at", 0.1, 0.9),
        frequency_hz=uniform("burst_hz", 30, 90),
        quality=uniform("burst quality", 4, 12),
    )
    blip = active[:, 2] * sine_gaussian(
        time_s - length_s * uniform("blip at", 0.1, 0.9),
        frequency_hz=uniform("blip_hz", 40, 80),
        quality=uniform("blip quality", 1, 2),
    )
    burst, blip = burst * uniform("burst size", 1, 3), blip * uniform("blip size", 1, 4)

    witnessed = torch.stack([2 * surface, burst, blip], dim=1)  # (n, 3, T)
    channels = witnessed + SENSOR_NOISE * draw_noise(f"{label} sensors", (n, 3, samples))
    strain = (
        scattered_light(surface)
        + burst.roll(2, dims=1) * (0.5 + surface)
        + torch.tanh(1.5 * blip.roll(4, dims=1))
        + STRAIN_NOISE * draw_noise(f"{label} strain", (n, samples))
    )
    return channels, strain


def uniform_of(label: str, n: int, what: str, low: float, high: float) -> Tensor:
    """Return one number for each example, (n, 1), float64."""
    return draw_between(f"{label} {what}", (n, 1), low, high)


def sine_gaussian(time_s: Tensor, frequency_hz: Tensor, quality: Tensor) -> Tensor:
    """Return exp(-(t / tau)^2) sin(2 pi f t) with tau = Q / (sqrt(2) pi f): (n, T) -> (n, T).

    A burst has many cycles, high Q; a blip hardly one (M. Cabero et al., "Blip glitches in Advanced
    LIGO data", Class. Quantum Grav. 36, 155010, 2019, https://doi.org/10.1088/1361-6382/ab2e14).
    """
    tau_s = quality / (math.sqrt(2) * math.pi * frequency_hz)
    return torch.exp(-((time_s / tau_s) ** 2)) * torch.sin(2 * math.pi * frequency_hz * time_s)


def scattered_light(surface: Tensor) -> Tensor:
    """Return the strain of light scattered off a surface at `surface` wavelengths, any shape.

    sin(4 pi x / lambda): T. Accadia et al., "Noise from scattered light in Virgo's second science
    run data", Class. Quantum Grav. 27, 194011, 2010, https://doi.org/10.1088/0264-9381/27/19/194011.
    The faster the surface, the higher the frequency, which a spectrogram shows as arches.
    """
    return torch.sin(4 * math.pi * surface)
