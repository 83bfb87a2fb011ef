"""Factor tables: carbon intensities by place, each table under its version's name, for ever.

The one that comes with this version of the program is among them from the moment a run is costed
with it; what was imported stays when the program's own changes.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, func, select

from api.overlay import FactorOf
from api.problems import ProblemError, cut
from api.tables import FACTOR_TABLES, FACTORS
from api.upserts import INSERT
from carbon import grid
from carbon.countries import country_name
from carbon.schema import Factor, FactorKind, FactorTable, FactorTableInfo, GridFactor

_BUNDLED_SOURCE = "CodeCarbon's tables; each factor has its own source"

_OF_MARKETS = (
    select(FACTOR_TABLES.c.version)
    .where(FACTOR_TABLES.c.kind == "market")
    .order_by(FACTOR_TABLES.c.imported_at.desc(), FACTOR_TABLES.c.version)
)

Row = Mapping[str, Any]
"""A row of `FACTORS` without its version."""


def find(
    connection: Connection, version: str, country_iso_code: str | None, region: str | None
) -> Factor | None:
    """Return the factor of a place in a table, or None where it has none or there is no table."""
    if country_iso_code is None:
        return None
    name = "" if region is None else grid.plain_name(region)
    if version == grid.bundled_version():
        found = _bundled_by_name().get((country_iso_code, name))
        return None if found is None else _factor(found)
    query = select(FACTORS).where(
        FACTORS.c.version == version,
        FACTORS.c.country_iso_code == country_iso_code,
        FACTORS.c.name == name,
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _factor(dict(row))


def finder(connection: Connection) -> FactorOf:
    """Return what finds factors and looks each up once: for the many runs of a few places."""

    @cache
    def factor_of(version: str, country_iso_code: str | None, region: str | None) -> Factor | None:
        return find(connection, version, country_iso_code, region)

    return factor_of


def newest_of_markets(connection: Connection) -> list[str]:
    """Return the versions of the market-based tables, the one imported last first."""
    return list(connection.execute(_OF_MARKETS).scalars())


def kind_of(connection: Connection, version: str) -> FactorKind | None:
    """Return of which kind the table of this version is, None where there is none."""
    if version == grid.bundled_version():
        return "location"
    query = select(FACTOR_TABLES.c.kind).where(FACTOR_TABLES.c.version == version)
    kind: FactorKind | None = connection.execute(query).scalar_one_or_none()
    return kind


def require(connection: Connection, version: str) -> FactorKind:
    """Return of which kind the table of this version is.

    Raises:
        ProblemError: 404, there is none.
    """
    kind = kind_of(connection, version)
    if kind is None:
        raise ProblemError(
            404,
            f"there is no factor table {cut(version)!r} in this ledger; see /v1/factor-tables for "
            "those, or import it with `carbon factors import`",
        )
    return kind


def keep_bundled(connection: Connection, version: str) -> None:
    """Keep the program's own table if it is the one of this version."""
    if version == grid.bundled_version():
        about = {"version": version, "kind": "location", "source": _BUNDLED_SOURCE, "year": None}
        _insert(connection, about, _bundled_by_name().values())


def keep(connection: Connection, table: FactorTable) -> bool:
    """Keep a table, and tell whether it is new.

    Raises:
        ProblemError: 409, there is another table of this version; 422, a place is there twice, or
            the version's name is not for imported tables.
    """
    if table.version.startswith(grid.BUNDLED):
        raise _refused("version", f"names that begin with {grid.BUNDLED!r} are the program's own")
    rows = _rows(table)
    about = table.model_dump(exclude={"factors"})
    if _insert(connection, about, rows):
        return True
    query = select(FACTOR_TABLES).where(FACTOR_TABLES.c.version == table.version)
    held = connection.execute(query).mappings().one()
    said = about | {"sha256": _hash(rows)}
    if {name: held[name] for name in said} != said:
        raise ProblemError(
            409,
            f"there is another factor table {table.version!r}, and tables do not change: import "
            "this one under a new version",
        )
    return False


def tables(connection: Connection) -> list[FactorTableInfo]:
    """List the tables, the one imported last first, and that of the program itself."""
    counts = (
        select(FACTORS.c.version, func.count().label("factors"))
        .where(FACTORS.c.is_alias.is_(False))
        .group_by(FACTORS.c.version)
        .subquery()
    )
    query = (
        select(FACTOR_TABLES, counts.c.factors)
        .join(counts, counts.c.version == FACTOR_TABLES.c.version)
        .order_by(FACTOR_TABLES.c.imported_at.desc(), FACTOR_TABLES.c.version)
    )
    rows = connection.execute(query).mappings()
    listed = [FactorTableInfo.model_validate(dict(row)) for row in rows]
    if grid.bundled_version() not in {table.version for table in listed}:
        listed.append(
            FactorTableInfo(
                kind="location",
                version=grid.bundled_version(),
                source=_BUNDLED_SOURCE,
                year=None,
                imported_at=None,
                sha256=_hash(_bundled_by_name().values()),
                factors=len(grid.all_factors()),
            )
        )
    return listed


def factors(connection: Connection, version: str) -> list[GridFactor]:
    """Return a table's factors, by country and region.

    Raises:
        ProblemError: 404, there is no such table.
    """
    if version == grid.bundled_version():
        return grid.all_factors()
    require(connection, version)
    query = select(FACTORS).where(FACTORS.c.version == version, FACTORS.c.is_alias.is_(False))
    listed = [
        GridFactor(
            country_iso_code=row.country_iso_code,
            country_name=country_name(row.country_iso_code) or row.country_iso_code,
            region=row.region,
            provider=None,
            intensity_g_per_kwh=row.intensity_g_per_kwh,
            source=row.source,
            year=row.year,
            mix_percent=None,
        )
        for row in connection.execute(query)
    ]
    return sorted(listed, key=lambda factor: (factor.country_name, factor.region or ""))


def _rows(table: FactorTable) -> list[Row]:
    rows: dict[tuple[str, str], Row] = {}
    for number, factor in enumerate(table.factors):
        name = "" if factor.region is None else grid.plain_name(factor.region)
        if (factor.country_iso_code, name) in rows:
            place = " ".join(filter(None, [factor.country_iso_code, factor.region]))
            raise _refused(f"factors.{number}", f"{place} is there twice")
        rows[factor.country_iso_code, name] = {
            "country_iso_code": factor.country_iso_code,
            "name": name,
            "is_alias": False,
            "region": factor.region,
            "intensity_g_per_kwh": factor.intensity_g_per_kwh,
            "source": factor.source or table.source,
            "year": factor.year or table.year,
        }
    return list(rows.values())


@cache
def _bundled_by_name() -> Mapping[tuple[str, str], Row]:
    return {
        (factor.country_iso_code, name): {
            "country_iso_code": factor.country_iso_code,
            "name": name,
            "is_alias": name != grid.plain_name(factor.region or ""),
            "region": factor.region,
            "intensity_g_per_kwh": factor.intensity_g_per_kwh,
            "source": factor.source,
            "year": factor.year,
        }
        for factor in grid.all_factors()
        for name in grid.names_of(factor)
    }


def _insert(connection: Connection, about: Mapping[str, Any], rows: Collection[Row]) -> bool:
    """Insert a table unless there is one of its version, and tell whether there was none."""
    insert = INSERT[connection.dialect.name]
    table = {**about, "imported_at": datetime.now(UTC), "sha256": _hash(rows)}
    unless_there = insert(FACTOR_TABLES).values(table).on_conflict_do_nothing()
    is_new = connection.execute(unless_there.returning(FACTOR_TABLES.c.version)).first() is not None
    if is_new:
        version = about["version"]
        connection.execute(insert(FACTORS), [{"version": version, **row} for row in rows])
    return is_new


def _factor(row: Row) -> Factor:
    return Factor.model_validate({name: row[name] for name in Factor.model_fields})


def _hash(rows: Iterable[Row]) -> str:
    in_order = sorted(rows, key=lambda row: (row["country_iso_code"], row["name"]))
    return sha256(to_json([list(row.values()) for row in in_order])).hexdigest()


def _refused(field: str, message: str) -> ProblemError:
    return ProblemError(422, f"{field}: {message}", errors=[{"field": field, "message": message}])
