"""Reports with something wrong with them, or right by chance."""

import json
import random
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from tests.reports import recorded_run

Path = tuple[str | int, ...]

ODD: list[Any] = [
    *(None, True, [], {}, [[]], {"a": 1}),
    *("", " ", "text", "\x00", "x" * 2000, "\u202e", "1", "NaN"),
    *(-1, 0, 10**30, -(10**400), 2**63, 1e308, -1e-300, 0.5),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"),
    *("2026-02-30T00:00:00Z", "now"),
]
RAW = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "01",
    "+1",
    "'x'",
    "undefined",
    '"\\ud800"',
    '"\\x"',
]
"""What stands for a value in some JSON that is none, or for none that there is."""


def whole_report() -> dict[str, Any]:
    """A report with something in every list, as JSON."""
    report = recorded_run(
        1, 3, ("gpu_power", "ram_used"), user="ann", tags={"k": "v"}, config={"lr": 0.1}
    )
    document: dict[str, Any] = json.loads(report.model_dump_json())
    document["metrics"] = {"loss": 0.5}
    document["epochs"][0]["metrics"] = {"loss": 0.5}
    return document


def places(value: Any, at: Path = ()) -> Iterator[Path]:
    """Every place in a document but the top."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*at, key))


def mutated(text: str, every: list[Path], chance: random.Random) -> bytes:
    """The report with one thing or several wrong with it, or right by chance."""
    broken = from_json(text)
    raw: dict[str, str] = {}
    kinds = ["replace", "replace", "replace", "remove", "rename", "add", "raw"]
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        path = chance.choice(every)
        parent = broken
        try:
            for key in path[:-1]:
                parent = parent[key]
            match chance.choice(kinds):
                case "replace":
                    parent[path[-1]] = chance.choice(ODD)
                case "remove":
                    del parent[path[-1]]
                case "rename":
                    parent[f"{path[-1]}\u0000"] = parent.pop(path[-1])
                case "add":
                    parent[chance.choice(["colour", "__class__", "run_id ", ""])] = 1
                case "raw":
                    stands_for = f"raw-{len(raw)}"
                    parent[path[-1]] = stands_for
                    raw[stands_for] = chance.choice(RAW)
        except (AttributeError, IndexError, KeyError, TypeError):
            continue  # What it was to be wrong in is gone by now.
    text = json.dumps(broken)
    for stands_for, value in raw.items():
        text = text.replace(f'"{stands_for}"', value)
    body = text.encode()
    match chance.randrange(20):
        case 0:
            return body[: chance.randrange(len(body))]
        case 1:
            at = chance.randrange(len(body))
            return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        case 2:  # The same key twice; the last one counts.
            return b'{"project":"twice",' + body[1:]
        case _:
            return body
