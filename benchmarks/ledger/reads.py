"""How long the ledger takes to answer from very many runs, over HTTP, and what memory it takes."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import quote, urlencode
from uuid import UUID

from api import cursors
from api.access import Access
from api.filters import RunFilters
from api.listing import Listing
from benchmarks.ledger import runs
from benchmarks.ledger.load import Caller, request
from benchmarks.ledger.servers import Running
from benchmarks.summary import Summary, percentile
from benchmarks.table import Row

SECTION = "reads"
PAGE = 100

_PROJECT = "project-007"
SUMMARIES = {
    "summary of everything": "/v1/summary",
    "summary of a project": f"/v1/projects/{_PROJECT}/summary",
}
GROUPS = {
    "a project by month": f"/v1/projects/{_PROJECT}/summary?group_by=month",
    "a project by GPU model": f"/v1/projects/{_PROJECT}/summary?group_by=gpu_model",
    "everything by month": "/v1/summary?group_by=month",
    "everything by strategy": "/v1/summary?group_by=strategy",
    "everything of a month by project": "/v1/summary?group_by=project&since=2026-05-01",
    "everything by node": "/v1/summary?group_by=node",
}
FILTERS: dict[str, dict[str, str]] = {
    "": {},
    "project": {"project": _PROJECT},
    "study": {"study": "sweep-1-of-007"},
    "strategy": {"strategy": "ddp"},
    "status": {"status": "completed"},
    "rare status": {"status": "failed"},
    "user": {"user": "person-7"},
    "tag": {"tag": "seed"},
    "tag and value": {"tag": "owner:person-7"},
    "host": {"host": "node-007"},
    "GPU": {"gpu": runs.GPUS[0]},
    "country": {"country": "DEU"},
    "region (of no run)": {"region": "Bavaria"},
    "since": {"since": "2026-05-01"},
    "until": {"until": "2023-12-31"},
    "energy": {"min_energy_kwh": "5"},
    "emissions": {"max_emissions_kg": "0.01"},
    "duration": {"min_duration_s": "20000"},
    "word": {"q": "resnet50"},
    "rare words": {"q": "try 1234"},
}
SORTS = ("started_at", "-energy_kwh", "emissions_kg", "-duration_s")


@dataclass(frozen=True)
class Reads:
    """What was measured on one ledger, in milliseconds and MiB."""

    groups: dict[str, list[float]] = field(default_factory=dict)
    pages: dict[str, list[float]] = field(default_factory=dict)
    """By the filter and the place of the page."""
    memory_mib: float = 0.0


def summaries(servers: Mapping[int, Running], times: int) -> dict[str, dict[int, list[float]]]:
    """Ask ledgers for summaries in turn, `times` times each; return the times by what and ledger.

    Args:
        servers: by the number of runs in the ledger.
        times: how often.
    """
    callers = {count: Caller(server.port) for count, server in servers.items()}
    found: dict[str, dict[int, list[float]]] = {}
    for name, path in SUMMARIES.items():
        found[name] = {count: [] for count in callers}
        for _ in range(times):
            for count, caller in callers.items():
                found[name][count] += _timed(caller, path, 1)
    for caller in callers.values():
        caller.close()
    return found


def measure(server: Running, times: int) -> Reads:
    """Ask for groups, and for pages of every kind, `times` times each."""
    caller = Caller(server.port)
    reads = Reads()
    for name, path in GROUPS.items():
        reads.groups[name] = _timed(caller, path, max(times // 10, 3))
    for name, filters in FILTERS.items():
        for place, cursor in _places(caller, filters).items():
            path = _path(filters | cursor)
            reads.pages[f"{name or 'no filter'}, {place} page"] = _timed(caller, path, times)
    for sort in SORTS:
        reads.pages[f"sort={sort}, first page"] = _timed(caller, _path({"sort": sort}), times)
    caller.close()
    return replace(reads, memory_mib=server.memory_mib())


def export(server: Running, form: str) -> tuple[float, float, int]:
    """Export everything; return seconds, by how much the server's memory grew, and the bytes."""
    caller = Caller(server.port)
    before_mib = most_mib = server.memory_mib()
    size, looked_s = 0, 0.0
    began_s = time.monotonic()
    for received in caller.stream(request("GET", f"/v1/runs?format={form}")):
        size += received
        if time.monotonic() - looked_s > 0.1:
            looked_s = time.monotonic()
            most_mib = max(most_mib, server.memory_mib())
    caller.close()
    return time.monotonic() - began_s, most_mib - before_mib, size


def summed_up(found: Mapping[str, Mapping[str, Mapping[int, list[float]]]]) -> list[Row]:
    """Return the rows of the summaries; `found` is by database, by what and by number of runs."""
    made = []
    for name in SUMMARIES:
        p95 = {
            database: {count: _p95(taken_ms) for count, taken_ms in by_name[name].items()}
            for database, by_name in found.items()
        }
        few, *_, many = sorted(next(iter(p95.values())))
        for count in (few, many):
            cells = {database: each[count] for database, each in p95.items()}
            made.append(Row(SECTION, f"{name}, {count:,} runs", "ms", cells, 1))
        ratios = {
            database: _alone(each[many].value / each[few].value) for database, each in p95.items()
        }
        made.append(Row(SECTION, "the same over that of the few, asked in turn", "", ratios, 2))
    return made


def rows(found: Mapping[int, Mapping[str, Reads]]) -> list[Row]:
    """Return the rows of the table, one column for each database; `found` is by number of runs."""
    made = []
    many = max(found)
    for name in GROUPS:
        cells = {each: _p95(reads.groups[name]) for each, reads in found[many].items()}
        made.append(Row(SECTION, f"{name}, {many:,} runs", "ms", cells, 0))
    for name in next(iter(found[many].values())).pages:
        cells = {each: _p95(reads.pages[name]) for each, reads in found[many].items()}
        made.append(Row(SECTION, f"page, {name}, {many:,} runs", "ms", cells, 1))
    for count, by_database in found.items():
        cells = {each: _alone(reads.memory_mib) for each, reads in by_database.items()}
        what = f"the server's memory after all of it, {count:,} runs"
        made.append(Row(SECTION, what, "MiB", cells, 0))
    return made


def exported(found: Mapping[str, tuple[float, float, int]], form: str, count: int) -> list[Row]:
    """Return the rows of the exports."""
    took = {name: _alone(each[0]) for name, each in found.items()}
    grew = {name: _alone(each[1]) for name, each in found.items()}
    return [
        Row(SECTION, f"export as {form}, {count:,} runs", "s", took, 0),
        Row(SECTION, "most by which the server's memory grew meanwhile", "MiB", grew, 0),
    ]


def _places(caller: Caller, filters: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the cursors of a list's first page, of one in the middle, and of its last."""
    oldest = json.loads(caller.call(request("GET", _path({**filters, "sort": "started_at"}))))
    places: dict[str, dict[str, str]] = {"first": {}}
    if not oldest["items"]:
        return places
    newest = json.loads(caller.call(request("GET", _path(filters))))["items"][0]
    last = oldest["items"][-1]
    begins, ends = (datetime.fromisoformat(each["started_at"]) for each in (last, newest))
    asked = RunFilters.model_validate(
        {
            name: [value] if isinstance(RunFilters.model_fields[name].default, list) else value
            for name, value in filters.items()
        }
    )
    for place, moment, run_id in (
        ("middle", begins + (ends - begins) / 2, UUID(int=0)),
        ("last", begins, UUID(last["run_id"])),
    ):
        micros = cursors.microseconds(moment.astimezone(UTC))
        places[place] = {
            "cursor": cursors.encode((micros, run_id.hex), Listing(asked, Access()).key())
        }
    return places


def _path(query: Mapping[str, str]) -> str:
    return f"/v1/runs?{urlencode(query, quote_via=quote)}" if query else "/v1/runs"


def _timed(caller: Caller, path: str, times: int) -> list[float]:
    asked = request("GET", path)
    caller.call(asked)
    taken_ms = []
    for _ in range(times):
        began_s = time.perf_counter()
        caller.call(asked)
        taken_ms.append((time.perf_counter() - began_s) * 1000)
    return taken_ms


def _p95(values: list[float]) -> Summary:
    return Summary(percentile(values, 95), min(values), max(values), len(values))


def _alone(value: float) -> Summary:
    return Summary(value, value, value, 1)


def say(what: str) -> None:
    """Tell whoever waits how far it is."""
    print(what, file=sys.stderr, flush=True)
