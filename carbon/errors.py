"""Every error this project raises on purpose.

    CarbonError
    ├── SettingsError          a setting that cannot be used
    ├── UsageError             a call of `track`, `epochs` or `log` that cannot be carried out
    ├── UnknownPlaceError      a country or region for which there is no grid data
    ├── CommandError           a command that `carbon run` cannot start
    ├── SpoolError             the spool directory cannot be read or written
    └── ApiError               the API could not be asked, or said no
        ├── ApiUnreachableError    no answer: refused, timed out, not an address
        └── ApiRejectedError       an answer that repeating will not change (4xx)

An error of another library becomes one of these once, at the edge where it is met, with `from`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class CarbonError(Exception):
    """Anything that went wrong here; the message names the thing, the value and the way out."""


class SettingsError(CarbonError):
    """A `CARBON_*` variable or a key of `[tool.carbon]` that cannot be used."""


class UsageError(CarbonError, ValueError):
    """A call that cannot be carried out as written. Raised before training begins."""


class UnknownPlaceError(CarbonError, ValueError):
    """A country or region for which no grid carbon intensity is known."""


class CommandError(CarbonError):
    """A command that cannot be started.

    Attributes:
        exit_code: what a shell would end with.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class SpoolError(CarbonError):
    """The spool directory cannot be read or written."""


class ApiError(CarbonError):
    """The API could not be asked, or answered with an error."""


class ApiUnreachableError(ApiError):
    """The API gave no usable answer; asking again later may help.

    Attributes:
        status: the HTTP status of the answer, None where there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ApiRejectedError(ApiError):
    """The API refused the request for good.

    Attributes:
        status: the HTTP status.
        problem: the RFC 9457 problem document, or an empty mapping where there was none.
    """

    def __init__(self, message: str, status: int, problem: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


def first_wrong(error: "ValidationError") -> tuple[str, str, Any]:
    """Return the field that pydantic names first, what is wrong there, and what was given.

    The field has dots where it is nested; it is empty where the whole is wrong.
    """
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return field, first["msg"].removeprefix("Value error, "), first["input"]
