"""Language model: a small character transformer on text that follows a few rules.

A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019,
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
(GPT-2), on top of A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017,
https://arxiv.org/abs/1706.03762. The text is made here: sentences of a small grammar, in which the
verb agrees with its subject, and sums and products that are right.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.tasks.base import Examples, Size, checked
from trainers.tasks.draws import draw
from trainers.tasks.transformer import Block

CHARACTERS = "\n .+*=0123456789abcdefghijklmnopqrstuvwxyz"
"""V of them; a token is the number of its place here."""

DETERMINERS = [("the", "the"), ("a", "some"), ("this", "these"), ("every", "all"), ("no", "no")]
ADJECTIVES = ["", "", "small ", "old ", "quiet ", "bright ", "heavy ", "green "]
NOUNS = [
    *(("river", "rivers"), ("valley", "valleys"), ("storm", "storms"), ("city", "cities")),
    *(("engine", "engines"), ("fox", "foxes"), ("child", "children"), ("mouse", "mice")),
]
VERBS = [
    *(("sees", "see"), ("follows", "follow"), ("carries", "carry"), ("crosses", "cross")),
    *(("warms", "warm"), ("forgets", "forget"), ("reaches", "reach"), ("has", "have")),
]
"""Each of one, and of several."""

DRAWS_PER_LINE = 10
LINES_AT_ONCE = 4096


@dataclass(frozen=True)
class Scale:
    """How large a size is. An example is `context` characters, T, and the next of each."""

    model_name: str
    context: int
    training: int
    test: int
    width: int
    depth: int
    heads: int
    learning_rate: float
    warm_up_steps: int = 0


SCALES: dict[Size, Scale] = {
    "small": Scale("gpt-64", 64, 1024, 256, width=64, depth=2, heads=4, learning_rate=3e-3),
    "medium": Scale(
        "gpt-192", 128, 4096, 512, width=192, depth=4, heads=6, learning_rate=1e-3, warm_up_steps=16
    ),
    "large": Scale(
        "gpt-512", 256, 4096, 512, width=512, depth=8, heads=8, learning_rate=3e-4, warm_up_steps=32
    ),
}
SHA256: dict[Size, str] = {
    "small": "e900d2d5ff54299f81695aa693cfde0d4cba12b4de3bcd16caa252b1512303e5",
    "medium": "df68601e8031ba1ac49584e8e715aeb8c4097d879b26afbd4a8646d23e747d20",
    "large": "c210d283b21dde2a8d81099f1233e437c943712376376d7c4f18b4c43f33db59",
}


class Gpt:
    """Tell the next character from those before it.

    An epoch's steps take 2, 90 and 1,900 s of CPU time; `Size` says how it was measured.
    """

    name = "gpt"
    metric = "bits_per_character"
    higher_is_better = False
    batch_size = 32

    def __init__(self, size: Size = "small") -> None:
        self.size = size
        self.scale = SCALES[size]
        self.model_name = self.scale.model_name
        self.n_training_examples = self.scale.training
        self.learning_rate = self.scale.learning_rate
        self.warm_up_steps = self.scale.warm_up_steps

    def model(self) -> nn.Module:
        """Return a causal transformer: (B, T) -> (B, T, V)."""
        return Transformer(self.scale)

    def data(self, n_times: int = 1) -> tuple[Examples, Examples]:
        """Return pieces of text as tokens, (N, T), and the next token of each, (N, T)."""
        scale = self.scale
        training = [pieces(f"gpt training {i}", scale.training, scale) for i in range(n_times)]
        test = pieces("gpt test", scale.test, scale)
        return checked(f"gpt {self.size}", SHA256[self.size], training, test)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy, mean over the characters: (B, T, V), (B, T) -> (B,)."""
        scores = outputs.transpose(1, 2)  # (B, V, T)
        return functional.cross_entropy(scores, targets, reduction="none").mean(dim=1)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, and the same in bits, base 2: (B, T, V), (B, T) -> (B,) each."""
        loss = self.loss(outputs, targets)
        return {"loss": loss, "bits_per_character": loss / math.log(2)}


class Transformer(nn.Module):
    """Characters and their places as vectors, causal blocks, and a score for each character."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(CHARACTERS), scale.width)
        self.positions = nn.Embedding(scale.context, scale.width)
        self.blocks = nn.ModuleList(
            Block(scale.width, scale.heads, causal=True) for _ in range(scale.depth)
        )
        self.norm = nn.LayerNorm(scale.width)
        self.head = nn.Linear(scale.width, len(CHARACTERS), bias=False)
        for embedding in (self.characters, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return a score for each next character: (B, T) -> (B, T, V)."""
        places = torch.arange(tokens.shape[1], device=tokens.device)  # (T,)
        x = self.characters(tokens) + self.positions(places)  # (B, T, C)
        for block in self.blocks:
            x = block(x)  # (B, T, C)
        scores: Tensor = self.head(self.norm(x))  # (B, T, V)
        return scores


def pieces(label: str, n: int, scale: Scale) -> Examples:
    """Return `n` pieces of one text, (n, T) each, stored as bytes; targets are one ahead."""
    text = written(label, n * scale.context + 1)
    tokens = torch.tensor([CHARACTERS.index(character) for character in text], dtype=torch.uint8)
    return Examples(
        tokens[:-1].view(n, scale.context), tokens[1:].view(n, scale.context), make=as_indices
    )


def as_indices(tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return bytes as what embeddings and losses take, int64."""
    return tokens.long(), targets.long()


def written(label: str, length: int) -> str:
    """Return a text of so many characters, from `CHARACTERS`."""
    lines: list[str] = []
    n_characters = 0
    while n_characters < length:
        draws = draw(f"{label} {len(lines)}", (LINES_AT_ONCE, DRAWS_PER_LINE)).tolist()
        more = [line(numbers) for numbers in draws]
        n_characters += sum(len(each) for each in more)
        lines += more
    return "".join(lines)[:length]


def line(numbers: list[int]) -> str:
    """Return what ten numbers from 0 to 65,535 choose: a sum, a product or a sentence."""
    kind, first, second, *words = numbers
    if kind % 4 == 0:
        return f"{first % 50}+{second % 50}={first % 50 + second % 50}\n"
    if kind % 4 == 1:
        return f"{first % 10}*{second % 10}={first % 10 * (second % 10)}\n"
    of_subject, of_object = first % 2, second % 2
    verb = VERBS[words[0] % len(VERBS)][of_subject]
    return f"{phrase(words[1:4], of_subject)} {verb} {phrase(words[4:7], of_object)}.\n"


def phrase(numbers: list[int], number: int) -> str:
    """Return a noun with its company that three numbers choose; `number` is 1 for several."""
    determiner, adjective, noun = numbers
    return (
        f"{DETERMINERS[determiner % len(DETERMINERS)][number]} "
        f"{ADJECTIVES[adjective % len(ADJECTIVES)]}{NOUNS[noun % len(NOUNS)][number]}"
    )
