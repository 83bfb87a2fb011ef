"""What the runs of a summary are told apart by, and which sums of days know of it."""

from collections.abc import Iterable

from sqlalchemy import Table

from api.tables import DAYS, GPU_DAYS, NODE_DAYS

COLUMNS_OF = {
    "project": ("project",),
    "strategy": ("strategy",),
    "study": ("study",),
    "user": ("user",),
    "status": ("status",),
    "place": ("country_iso_code", "region"),
    "node": ("hostname",),
    "gpu_model": ("gpu_model",),
}
"""The columns of sums that have it."""

_APART = {"node": NODE_DAYS, "gpu_model": GPU_DAYS}


def table_of(kinds: Iterable[str]) -> Table:
    """Return the sums of days that a summary by these comes from."""
    return next((_APART[kind] for kind in kinds if kind in _APART), DAYS)
