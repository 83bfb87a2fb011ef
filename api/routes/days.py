"""Days in a path or a query."""

import re
from datetime import date
from typing import Annotated, Any

from fastapi import Path
from pydantic import BeforeValidator

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def as_day(given: Any) -> Any:
    """Let pass what is written like a day only: pydantic would take a number for one too."""
    if isinstance(given, str) and not _DAY.fullmatch(given):
        raise ValueError("should be a day such as 2026-01-31")
    return given


ValidFrom = Annotated[
    date, BeforeValidator(as_day), Path(description="The first day that it is valid, in UTC.")
]
