"""The `CARBON_*` settings: one frozen object, read once at an entry point and passed down.

An environment variable wins over a key of the `[tool.carbon]` table in the nearest `pyproject.toml`
at or above the working directory (`CARBON_API_URL` is `api_url` there), and that over the default.

`pydantic-settings` would read these too, but importing it takes longer than everything else that
`carbon.track` does before the training goes on.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from carbon.countries import is_country
from carbon.currencies import is_currency
from carbon.errors import SettingsError, UnknownPlaceError, first_wrong
from carbon.schema import SERIES_NAMES, Name, SeriesName
from carbon.units import PRICE_DECIMALS

DEFAULT_PORT = 8787
DEFAULT_UI_PORT = 8788
MOST_WORKERS = 64
SHORTEST_LIVE_INTERVAL_S = 0.1
DEFAULT_API_URL = f"http://127.0.0.1:{DEFAULT_PORT}"


def _state_dir() -> Path:
    """Return the per-user directory for state that outlives a restart (XDG base directories).

    A relative XDG_STATE_HOME is not valid and ignored, as that specification asks; without any home
    it is a directory of this user's among the temporary files.
    """
    given = Path(os.environ.get("XDG_STATE_HOME") or ".")
    try:
        base = given if given.is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        import tempfile  # As below: what loads slowly is loaded where it is needed.

        base = Path(tempfile.gettempdir()) / f"user-{os.getuid()}"
    return base / "carbon-ledger"


DEFAULT_SERIES: tuple[SeriesName, ...] = tuple(
    name for name in SERIES_NAMES if name not in ("cpu_frequency",)
)
"""All but the CPUs' clock."""


_MAY_BE_EMPTY = frozenset({"user"})
"""Settings of which an empty variable is a value, and not the same as none."""


def _series_names(value: Any) -> Any:
    """Read `all`, `none` or names, in a list or separated by commas; their order is ours."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError("should be names of series, separated by commas or in a list")
    wanted = {name.strip().lower() for name in names} - {""}
    if wanted == {"all"}:
        return SERIES_NAMES
    if wanted == {"none"}:
        return ()
    for name in sorted(wanted - set(SERIES_NAMES)):
        raise ValueError(
            f"{name!r} is no series; there are {', '.join(SERIES_NAMES)}, or all or none alone"
        )
    return tuple(name for name in SERIES_NAMES if name in wanted)


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) else value


class Settings(BaseModel):
    """Everything that can be configured. See `load` for where the values come from."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=False)

    api_url: AnyHttpUrl = AnyHttpUrl(DEFAULT_API_URL)
    """Where reports are delivered and the dashboard reads."""
    api_key: Annotated[SecretStr, BeforeValidator(_as_text)] | None = None
    """Sent with every request; the server asks for it where it is set on its side."""
    spool_dir: Path = Field(default_factory=lambda: _state_dir() / "spool")
    """Where runs are kept until they are delivered."""
    database_url: str = Field(
        default_factory=lambda: f"sqlite:///{_state_dir() / 'ledger.db'}", repr=False
    )
    """SQLAlchemy URL of the ledger, for the server. May hold a password, so `repr` lacks it."""
    country_iso_code: Annotated[str, StringConstraints(to_upper=True)] | None = None
    """ISO 3166-1 alpha-3. Unset means unknown: emissions are then unknown too, never guessed."""
    region: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """A region of that country with a factor of its own: a US state, a Nordic bidding zone ..."""
    pue: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)] = 1.0
    """Power usage effectiveness of the building, ISO/IEC 30134-2; 1.0 is no overhead."""
    user: Name | Literal[""] | None = None
    """Who runs what is tracked; empty names nobody. Unset is the account that runs it."""
    sample_interval_s: Annotated[float, Field(ge=0.05, le=60, allow_inf_nan=False)] = 1.0
    """How often meters are read and the spool is written: what a kill can cost at most."""
    series: Annotated[tuple[SeriesName, ...], BeforeValidator(_series_names)] = DEFAULT_SERIES
    """Which quantities are kept over time beside the energy: names of series, `all` or `none`."""
    live_interval_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 10.0
    """How often a run that goes on tells the API of its energy so far; 0 is never."""
    interrupted_after_s: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False)] = 30.0
    """How long the server hears nothing of a running run, at least, before it shows it as
    interrupted; a run that is heard of again is running again."""
    rate_limit: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 500.0
    """How many requests a second each worker of the server answers of one key, or without keys of
    one address, loopback excepted; 0 is no limit."""
    currency: Annotated[str, StringConstraints(to_upper=True)] | None = None
    """ISO 4217 code of the currency of `price_per_kwh`."""
    price_per_kwh: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    """What electricity costs, for the server: where it has been told no price for a project and
    day. Needs `currency`."""
    webhooks_allow_local: bool = False
    """Whether the server may call webhooks on loopback, link-local and private addresses."""
    log_format: Literal["text", "json"] = "text"
    """What the server logs: lines for a person, or JSON with a line for every request."""
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    """How much of it: from `info` on every request. Unset is `info` as JSON, else `warning`."""

    @field_validator("country_iso_code")
    @classmethod
    def _country_exists(cls, code: str | None) -> str | None:
        if code is not None and not is_country(code):
            raise ValueError(
                f"{code!r} is not an ISO 3166-1 alpha-3 country code such as DEU or USA"
            )
        return code

    @field_validator("currency")
    @classmethod
    def _currency_exists(cls, code: str | None) -> str | None:
        if code is not None and not is_currency(code):
            raise ValueError(f"{code!r} is not an ISO 4217 currency code such as EUR or USD")
        return code

    @field_validator("price_per_kwh")
    @classmethod
    def _price_has_a_currency(cls, price: float | None, info: ValidationInfo) -> float | None:
        if price is None:
            return None
        # Where the currency is missing here because it is wrong, that is what is said.
        if info.data.get("currency", "") is None:
            raise ValueError("a price needs its currency: set CARBON_CURRENCY too, to EUR say")
        return round(price, PRICE_DECIMALS)

    @field_validator("live_interval_s")
    @classmethod
    def _never_or_not_all_the_time(cls, interval_s: float) -> float:
        if 0 < interval_s < SHORTEST_LIVE_INTERVAL_S:
            raise ValueError(f"must be 0, for never, or at least {SHORTEST_LIVE_INTERVAL_S} s")
        return interval_s

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None:
            return None
        text = key.get_secret_value().strip()
        if not (text.isascii() and text.isprintable()):
            raise ValueError("a key is of printable ASCII characters, to be sent in a header")
        return SecretStr(text)

    @field_validator("spool_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @property
    def base_url(self) -> str:
        """The API's address without a trailing slash."""
        return str(self.api_url).rstrip("/")

    @property
    def api_key_text(self) -> str | None:
        """The key itself, or None where none is set."""
        return self.api_key.get_secret_value() if self.api_key else None


def load(
    environ: Mapping[str, str] | None = None, directory: Path | None = None, **overrides: Any
) -> Settings:
    """Read the settings.

    Args:
        environ: variables to read, by default the process's own.
        directory: where the search for `pyproject.toml` starts, by default the working directory.
        overrides: values that win over everything, None meaning "not given" (a command's options).

    Raises:
        SettingsError: a value that cannot be used, an unknown key, an unreadable pyproject.toml.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    path, table = _project_table(directory)
    for key, value in table.items():
        values[key], origin[key] = value, f"{key} in [tool.carbon] of {path}"
    for field in Settings.model_fields:
        variable = f"CARBON_{field.upper()}"
        if environ.get(variable) or (variable in environ and field in _MAY_BE_EMPTY):
            values[field], origin[field] = environ[variable], variable
    for key, value in overrides.items():
        if value is not None:
            values[key], origin[key] = value, f"--{key.replace('_', '-')}"
    try:
        settings = Settings.model_validate(values)
        if settings.region is not None:
            from carbon import grid

            grid.check_place(settings.country_iso_code, settings.region)
    except ValidationError as error:
        field, message, given = first_wrong(error)
        key = field.partition(".")[0]
        shown = "" if key == "api_key" else f" is {given!r}"
        raise SettingsError(f"{origin.get(key, key)}{shown}: {message}") from error
    except UnknownPlaceError as error:
        raise SettingsError(f"{origin['region']}: {error}") from error
    return settings


def _project_table(directory: Path | None) -> tuple[Path | None, dict[str, Any]]:
    """Return the nearest pyproject.toml that has a [tool.carbon] table, and the table."""
    try:
        directory = directory or Path.cwd()
    except FileNotFoundError:
        return None, {}  # The working directory is gone; that must not stop a training either.
    for folder in (directory, *directory.parents):
        path = folder / "pyproject.toml"
        if not path.is_file():
            continue
        import tomllib

        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
            continue  # Not there, or not ours to judge: a broken file must not stop a training.
        tool = document.get("tool")
        table = tool.get("carbon") if isinstance(tool, dict) else None
        if isinstance(table, dict):
            return path, table
    return None, {}
