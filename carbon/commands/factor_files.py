"""Reading a factor table from a CSV file."""

import csv
import re
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from carbon.errors import UsageError, first_wrong
from carbon.schema import Factor, FactorTable

COLUMNS = tuple(Factor.model_fields)
_REQUIRED = ("country_iso_code", "intensity_g_per_kwh")


def read_table(path: Path, source: str, year: int | None, version: str | None) -> FactorTable:
    """Read a factor table; empty cells are left out.

    Args:
        path: CSV in UTF-8 with the columns country_iso_code, region, intensity_g_per_kwh, source
            and year, of which the first and the intensity have to be there.
        source: whose figures they are.
        year: of which year.
        version: what the table is called; by default by its source, year and a hash of the file.

    Raises:
        UsageError: names the file, the line, the column and what is wrong there.
    """
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8-sig").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"{path} cannot be read: {reason}") from error
    reader = csv.DictReader(lines)
    found = reader.fieldnames or []
    missing = [name for name in _REQUIRED if name not in found]
    unknown = [name for name in found if name not in COLUMNS]
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(map(repr, unknown))}"
        raise UsageError(f"{path} {what}: the columns of a factor table are {', '.join(COLUMNS)}")
    factors = [_factor(path, reader.line_num, row) for row in reader]
    name = version or _version(source, year, content)
    try:
        return FactorTable(version=name, source=source, year=year, factors=factors)
    except ValidationError as error:
        field, message, _ = first_wrong(error)
        raise UsageError(f"{path}: {field}: {message}") from error


def _factor(path: Path, line: int, row: dict[str | None, str | list[str] | None]) -> Factor:
    if None in row or None in row.values():
        raise UsageError(f"{path}, line {line}: it has not as many cells as the first line")
    given = {name: cell for name, cell in row.items() if cell}
    try:
        return Factor.model_validate(given)
    except ValidationError as error:
        column, message, _ = first_wrong(error)
        raise UsageError(f"{path}, line {line}, {column}: {message}") from error


def _version(source: str, year: int | None, content: bytes) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", source.casefold()).strip("-") or "table"
    parts = [words[:60], *([str(year)] if year else []), sha256(content).hexdigest()[:8]]
    return "-".join(parts)
