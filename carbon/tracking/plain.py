"""What users hand to a run, made into what a report can hold."""

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from carbon.schema import MAX_METRICS, Name

log = logging.getLogger("carbon")

_NAME = TypeAdapter(Name)


def plain(config: Any) -> Any:
    """Turn the scalars of NumPy, PyTorch and the like in a mapping into Python's own."""
    if not isinstance(config, Mapping):
        return config  # For the schema to refuse, by its name.
    return {
        key: value.item() if callable(getattr(value, "item", None)) else value
        for key, value in config.items()
    }


class MetricNames:
    """The names of metrics seen so far, each checked when it is first seen and warned of once."""

    def __init__(self) -> None:
        self._taken: dict[str, str | None] = {}

    def take(self, name: str) -> str | None:
        """Return the name as it stands in reports; None for one under which nothing can."""
        if name not in self._taken:
            self._taken[name] = self._check(name)
        return self._taken[name]

    def _check(self, name: str) -> str | None:
        if len(set(self._taken.values()) - {None}) >= MAX_METRICS:
            log.warning("run.log: %.80r is one metric more than %d: left out", name, MAX_METRICS)
            return None
        try:
            name.encode()  # No lone surrogates, which JSON text cannot hold.
            return _NAME.validate_python(name)
        except (ValidationError, UnicodeEncodeError) as error:
            log.warning("run.log: %.80r cannot be the name of a metric: %s", name, _reason(error))
            return None


def _reason(error: ValidationError | UnicodeEncodeError) -> str:
    return str(error.errors()[0]["msg"] if isinstance(error, ValidationError) else error)
