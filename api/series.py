"""Series in the database: apart from their runs, packed, so that nothing but one run's page pays.

A row holds what one device or host of one node recorded: JSON, compressed. The rows of a run are
replaced with the run, in its transaction.
"""

import zlib
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, insert, select

from api.quick_reading import fields_of, json_of
from api.tables import SERIES
from carbon.schema import NodeReport, RunReport, SeriesReport

_PACKED = TypeAdapter(list[SeriesReport])


def without_series(report: RunReport) -> list[Any]:
    """Return the report's nodes as the run's row holds them."""
    return [{**fields_of(node), "series": []} if node.series else node for node in report.nodes]


def replace(connection: Connection, report: RunReport, *, is_new: bool = False) -> None:
    """Put the report's series in the place of those that its run had, if it is not new."""
    if not is_new:
        connection.execute(delete(SERIES).where(SERIES.c.run_id == report.run_id))
    rows = [
        {"run_id": report.run_id, "node": position, "device_uuid": uuid, "packed": packed}
        for position, node in enumerate(report.nodes)
        for uuid, packed in _packed(node).items()
    ]
    if rows:
        connection.execute(insert(SERIES), rows)


def put_back(connection: Connection, run_id: UUID, nodes: list[dict[str, Any]]) -> list[Any]:
    """Return the run's nodes, as its row holds them, with their series."""
    query = select(SERIES.c.node, SERIES.c.packed).where(SERIES.c.run_id == run_id)
    found: dict[int, list[SeriesReport]] = {}
    for position, packed in connection.execute(query):
        series = _PACKED.validate_json(zlib.decompress(packed))
        found.setdefault(position, []).extend(series)
    return [{**node, "series": found.get(position, [])} for position, node in enumerate(nodes)]


def _packed(node: NodeReport) -> dict[str, bytes]:
    """Return the node's series by device, those of the host under no name."""
    by_device: dict[str, list[SeriesReport]] = {}
    for series in node.series:
        by_device.setdefault(series.device_uuid or "", []).append(series)
    return {uuid: zlib.compress(json_of(own).encode()) for uuid, own in by_device.items()}
