"""Where the next page of runs begins: an opaque text that holds the last run of this one."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

from api.problems import ProblemError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Cursor:
    """A place in the list of runs: after this run, in the order newest first."""

    started_at: datetime
    run_id: UUID

    def encode(self) -> str:
        """Return the text that stands for this place in a URL."""
        # Whole microseconds: a float of seconds would move the place.
        plain = f"{(self.started_at - _EPOCH) // _MICROSECOND}.{self.run_id.hex}"
        return base64.urlsafe_b64encode(plain.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read a text that `encode` made.

        Raises:
            ProblemError: 422, a text that it did not make.
        """
        try:
            plain = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
            microseconds, run_id = plain.decode("ascii").split(".")
            cursor = cls(_EPOCH + int(microseconds) * _MICROSECOND, UUID(hex=run_id))
        except (ValueError, OverflowError, binascii.Error) as error:
            message = "not a cursor of this API; pass on next_cursor of the page before, unchanged"
            raise ProblemError(
                422, f"cursor: {message}", errors=[{"field": "cursor", "message": message}]
            ) from error
        return cursor
