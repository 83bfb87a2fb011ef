"""Vision transformer: tell the shape in a synthetic image.

A. Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
ICLR 2021, https://arxiv.org/abs/2010.11929. The large size is its ViT-B/16 on images of 224 x 224;
the medium one has the width and depth of the tiny model of H. Touvron et al., "Training
data-efficient image transformers & distillation through attention", ICML 2021,
https://arxiv.org/abs/2012.12877. Only a few numbers of each image are kept; it is drawn from them
when a batch is made, in integer arithmetic.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.tasks.base import Examples, Size, check, joined
from trainers.tasks.draws import draw
from trainers.tasks.transformer import Block

CLASSES = 10
CHECKED_IMAGES = 64
NOISE = 32
"""How far a pixel is from its colour at most, in steps of 1/255."""


@dataclass(frozen=True)
class Scale:
    """How large a size is. Images are of `side` x `side` pixels, patches of `patch` x `patch`."""

    model_name: str
    side: int
    patch: int
    training: int
    test: int
    width: int
    depth: int
    heads: int
    learning_rate: float
    warm_up_steps: int = 0


SCALES: dict[Size, Scale] = {
    "small": Scale("vit-64/8", 32, 8, 1024, 256, width=64, depth=2, heads=4, learning_rate=2e-3),
    "medium": Scale(
        "vit-ti/4",
        32,
        4,
        2048,
        256,
        width=192,
        depth=12,
        heads=3,
        learning_rate=5e-4,
        warm_up_steps=16,
    ),
    "large": Scale(
        "vit-b/16",
        224,
        16,
        1024,
        128,
        width=768,
        depth=12,
        heads=12,
        learning_rate=1e-4,
        warm_up_steps=32,
    ),
}
SHA256: dict[Size, str] = {
    "small": "5b5115033a51e85464b1b2c14f8cc2ac566f6ffe72751c94cc42837e336fff27",
    "medium": "c242f58259f7503bf1f5837a2ba69ec8863b1657df8471636cf9dd8f9bab7c4e",
    "large": "7e1029c9ae8614206cf3fa5ebdf8588aa52f13cf6f0182c2c7ec43b33bf50129",
}


class Vit:
    """Tell which of ten shapes or patterns an image shows.

    An epoch's steps take 1, 70 and 1,150 s of CPU time; `Size` says how it was measured.
    """

    name = "vit"
    metric = "accuracy"
    higher_is_better = True
    batch_size = 32

    def __init__(self, size: Size = "small") -> None:
        self.size = size
        self.scale = SCALES[size]
        self.model_name = self.scale.model_name
        self.n_training_examples = self.scale.training
        self.learning_rate = self.scale.learning_rate
        self.warm_up_steps = self.scale.warm_up_steps

    def model(self) -> nn.Module:
        """Return a transformer over patches: (B, 3, side, side) -> (B, 10)."""
        return VisionTransformer(self.scale)

    def data(self, n_times: int = 1) -> tuple[Examples, Examples]:
        """Return images, (N, 3, side, side) from -1 to 1, and labels, (N,).

        The checksum is of the numbers all images are drawn from, and of the first 64 of each set as
        they are drawn.
        """
        scale, side = self.scale, self.scale.side
        training = [recipes(f"vit training {i}", scale.training, side) for i in range(n_times)]
        test = recipes("vit test", scale.test, side)
        stored = []
        for part in (training[0], test):
            images = pixels(part.inputs[:CHECKED_IMAGES], part.targets[:CHECKED_IMAGES], side)
            stored += [part.inputs, part.targets, images]
        check(f"vit {self.size}", SHA256[self.size], *stored)
        return joined(training), test

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy: (B, 10), (B,) -> (B,)."""
        return functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, and 1 for each shape told right: (B, 10), (B,) -> (B,) each."""
        return {
            "loss": self.loss(outputs, targets),
            "accuracy": (outputs.argmax(dim=1) == targets).float(),
        }


class VisionTransformer(nn.Module):
    """Patches as tokens, one more token that gathers what they say, and a linear layer on it."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        n_patches = (scale.side // scale.patch) ** 2  # P
        self.patches = nn.Conv2d(3, scale.width, kernel_size=scale.patch, stride=scale.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, scale.width))
        self.positions = nn.Parameter(torch.empty(1, n_patches + 1, scale.width))
        nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(
            Block(scale.width, scale.heads, causal=False) for _ in range(scale.depth)
        )
        self.norm = nn.LayerNorm(scale.width)
        self.head = nn.Linear(scale.width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return a score for each class: (B, 3, side, side) -> (B, 10)."""
        x = self.patches(images).flatten(2).transpose(1, 2)  # (B, P, C)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)  # (B, P + 1, C)
        x = x + self.positions  # (B, P + 1, C)
        for block in self.blocks:
            x = block(x)  # (B, P + 1, C)
        scores: Tensor = self.head(self.norm(x[:, 0]))  # (B, 10)
        return scores


def recipes(label: str, n: int, side: int) -> Examples:
    """Return what `n` images are drawn from, (n, 10) int64, and what they show, (n,) int64.

    The numbers: where the middle is, down and to the right, and how far the shape reaches, in
    pixels; its colour and that of the ground, three each from 0 to 255; a seed for the noise.
    """
    middle = side // 4 + draw(f"{label} middle", (n, 2), below=side // 2)
    reach = side // 5 + draw(f"{label} reach", (n, 1), below=side // 8)
    shape_colour = 144 + draw(f"{label} colour", (n, 3), below=112)
    ground_colour = draw(f"{label} ground", (n, 3), below=112)
    seed = draw(f"{label} noise", (n, 1), below=2**16)
    numbers = torch.cat([middle, reach, shape_colour, ground_colour, seed], dim=1)  # (n, 10)
    return Examples(
        numbers, draw(f"{label} classes", (n,), below=CLASSES), make=partial(drawn, side=side)
    )


def drawn(numbers: Tensor, classes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return images from -1 to 1 and what they show: (B, 10), (B,) -> (B, 3, side, side), (B,)."""
    return pixels(numbers, classes, side).float() / 127.5 - 1.0, classes


def pixels(numbers: Tensor, classes: Tensor, side: int) -> Tensor:
    """Return images as bytes: (B, 10), (B,) -> (B, 3, side, side), uint8."""
    line = torch.arange(side, device=numbers.device)
    row, column = line.view(1, side, 1), line.view(1, 1, side)
    down, right, reach = numbers[:, :3, None, None].unbind(dim=1)  # (B, 1, 1) each
    inside = shapes(row - down, column - right, reach)  # (10, B, side, side)
    inside = inside[classes, torch.arange(len(classes), device=classes.device)]  # (B, side, side)

    shape_colour = numbers[:, 3:6, None, None]  # (B, 3, 1, 1)
    ground_colour = numbers[:, 6:9, None, None]
    colour = torch.where(inside.unsqueeze(1), shape_colour, ground_colour)  # (B, 3, side, side)
    place = (row * side + column).unsqueeze(1) * 3 + torch.arange(3, device=numbers.device).view(
        1, 3, 1, 1
    )  # (1, 3, side, side)
    noise = scrambled(scrambled(numbers[:, 9, None, None, None]) + place) % (2 * NOISE + 1) - NOISE
    return (colour + noise).clamp(0, 255).to(torch.uint8)


def shapes(y: Tensor, x: Tensor, reach: Tensor) -> Tensor:
    """Return whether a pixel is inside of each of the ten shapes, (10, B, side, side).

    Args:
        y, x: how far it is from the middle, (B, side, 1) and (B, 1, side).
        reach: how far the shape reaches, (B, 1, 1).
    """
    far_y, far_x = y.abs(), x.abs()
    square = torch.maximum(far_y, far_x) <= reach
    disc = y * y + x * x <= reach * reach
    hole = y * y + x * x <= reach * reach // 3
    width = (reach // 2).clamp(min=2)  # of a stripe
    everywhere = torch.ones_like(square)
    return torch.stack(
        [
            square,
            disc,
            disc & ~hole,
            far_y + far_x <= reach,
            square & (torch.minimum(far_y, far_x) <= reach // 3),
            square & (far_x * 2 <= y + reach),
            everywhere & (y // width % 2 == 0),
            everywhere & (x // width % 2 == 0),
            (y + x) // width % 2 == 0,
            (y // width + x // width) % 2 == 0,
        ]
    )


def scrambled(numbers: Tensor) -> Tensor:
    """Return whole numbers below 2**31 that look random, the same for the same number.

    The multiplications and shifts of `fmix32` in A. Appleby, "MurmurHash3", 2011,
    https://github.com/aappleby/smhasher, with 31 bits and odd factors that fit into them, so that
    no product exceeds int64.
    """
    x = numbers & 0x7FFFFFFF
    for factor in (0x05EBCA6B, 0x42B2AE35):
        x = ((x ^ x >> 15) * factor) & 0x7FFFFFFF
    return x ^ x >> 16
