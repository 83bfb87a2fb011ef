"""What a command line says of a run, as texts."""

import json
import math
from collections.abc import Sequence

from pydantic import ValidationError

from carbon.errors import UsageError, first_wrong
from carbon.schema import RunSpec
from carbon.schema.fields import ConfigValue

_OPTIONS = {"tags": "tag"}


def spec_from_texts(
    *,
    project: str,
    strategy: str | None = None,
    study: str | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
    config: Sequence[str] = (),
) -> RunSpec:
    """Make a spec; `tags` and `config` are texts of the form KEY=VALUE.

    A value of `config` is a number, true, false or null where JSON reads it so, else a text.

    Raises:
        UsageError: names the option and what is wrong with its value.
    """
    try:
        return RunSpec.model_validate(
            {
                "project": project,
                "strategy": strategy,
                "study": study,
                "name": name,
                "tags": _pairs("tag", tags),
                "config": {key: _value(text) for key, text in _pairs("config", config).items()},
            }
        )
    except ValidationError as error:
        field, message, given = first_wrong(error)
        field, shown = field.partition(".")[0], repr(given)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
        raise UsageError(f"--{_OPTIONS.get(field, field)} {shown}: {message}") from error


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not key.strip() or not sign:
            raise UsageError(f"--{option} {text!r}: give it as KEY=VALUE")
        pairs[key.strip()] = value
    return pairs


def _value(text: str) -> ConfigValue:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value if value is None or isinstance(value, int | float) else text
