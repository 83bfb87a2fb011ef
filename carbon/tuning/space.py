"""The space that a search draws from: one domain for each parameter."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from carbon.errors import UsageError

Value = int | float | str | bool
Parameters = Mapping[str, Value]

_KINDS = ("float", "log", "int", "logint", "choice")
_EXAMPLES = "log:1e-4:1e-1, float:0:0.5, int:16:256, logint:1:1000 or choice:32,64,128"


@dataclass(frozen=True)
class Domain:
    """What one parameter may be.

    Attributes:
        kind: `float` and `int` are uniform, `log` and `logint` uniform in the logarithm.
        low, high: both belong to the domain.
        choices: of `choice`, any of which is as likely as another.
    """

    kind: Literal["float", "log", "int", "logint", "choice"]
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Value, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers alone."""
        return self.kind in ("int", "logint")

    @property
    def is_logarithmic(self) -> bool:
        """Whether each order of magnitude is as likely as another."""
        return self.kind in ("log", "logint")

    def holds(self, value: Value) -> bool:
        """Tell whether a value can be drawn."""
        if self.kind == "choice":
            return value in self.choices
        if isinstance(value, bool | str) or (self.is_whole and not isinstance(value, int)):
            return False
        return self.low <= value <= self.high


def domain_from_text(name: str, text: str) -> Domain:
    """Read a domain such as `log:1e-4:1e-1`, `int:16:256` or `choice:32,64,128`.

    Raises:
        UsageError: it is none; names the parameter.
    """
    kind, _, rest = text.partition(":")
    if kind not in _KINDS:
        raise UsageError(f"--space {name}={text}: {kind!r} is no kind of domain; give {_EXAMPLES}")
    if kind == "choice":
        choices = tuple(value_from_text(item) for item in rest.split(",") if item.strip())
        if not choices or len(set(choices)) < len(choices):
            raise UsageError(f"--space {name}={text}: give different choices, as choice:32,64,128")
        return Domain("choice", choices=choices)
    try:
        low, high = (float(end) for end in rest.split(":"))
    except ValueError:
        raise UsageError(f"--space {name}={text}: give {kind}:LOW:HIGH, two numbers") from None
    domain = Domain(kind, low, high)  # type: ignore[arg-type]
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--space {name}={text}: the low end has to be below the high one")
    if domain.is_logarithmic and low <= 0:
        raise UsageError(f"--space {name}={text}: a logarithmic domain has to begin above 0")
    if domain.is_whole and not (low.is_integer() and high.is_integer()):
        raise UsageError(f"--space {name}={text}: the ends have to be whole numbers")
    return domain


def value_from_text(text: str) -> Value:
    """Read a number, true or false where JSON reads it so, else a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip()
    return value if isinstance(value, bool | int | float) else text.strip()


def parameters_from_text(option: str, text: str) -> dict[str, Value]:
    """Read `learning_rate=1e-3,batch_size=96`.

    Raises:
        UsageError: it is not of that form; names the option.
    """
    found: dict[str, Value] = {}
    for item in text.split(","):
        name, equals, value = item.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise UsageError(f"--{option} {text}: give it as PARAMETER=VALUE,PARAMETER=VALUE")
        found[name.strip()] = value_from_text(value)
    return found


def check_parameters(
    option: str, parameters: Parameters, space: Mapping[str, Domain], *, within: bool
) -> None:
    """Check that parameters are those of the space, and can be drawn where they have to be.

    Raises:
        UsageError: names the first that is not.
    """
    for name in space:
        if name not in parameters:
            raise UsageError(f"--{option}: {name} is missing; give every parameter of the space")
    for name, value in parameters.items():
        if name not in space:
            raise UsageError(f"--{option}: {name} is no parameter of the space {', '.join(space)}")
        if within and not space[name].holds(value):
            raise UsageError(f"--{option}: {name}={value} is outside of the space")


def shown(parameters: Parameters) -> str:
    """Write parameters for people."""
    texts = (
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in parameters.items()
    )
    return " ".join(texts)
