"""Reading reports quickly: what is vouched for is what pydantic reads, and the usual is."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator

from api.bodies import reports_in
from api.quick_reading import QuickReader, fields_of, json_of, may_hold_nul, model_of
from benchmarks.ledger.reports import templates
from carbon.schema import NodeReport, RunReport
from tests.factories import make_report
from tests.malformed import mutated, places, whole_report
from tests.reports import recorded_run, scaling_study

READER = QuickReader(RunReport)

ODD_TOKENS = [
    *("0", "-0", "1", "1.0", "1e0", "-0.0", "5e-324", "2000000000", "2000000001", "1E1"),
    *("18446744073709551616", "9007199254740993", "123456789012345678901234567890"),
    *("0.1234567890125", "1e400", "1" + "0" * 400, "NaN", "Infinity", "true", "null"),
    *('"1"', '" 1"', '"1.5"', '"true"', '""', '" "', '" padded"', '"padded\\t"', '"\\u00a0x"'),
    *('"\\ud83d\\ude00"', '"\\ud800"', '"a\\u0000b"', '"a\\\\u0000b"', '"\u2003wide"', '"\u00e9"'),
    *(f'"{"n" * length}"' for length in (150, 151, 200, 201, 250, 251, 1000, 1001)),
    *(f'"{chr(0x20AC) * length}"' for length in (150, 200, 201, 333, 334)),
    *('"DEU"', '"DEU\\n"', '"deu"', '"XYZ"', '"0123abc"', '"0123abc\\n"', '"0123abc-dirty"'),
    *('"2026-03-01T12:00:00Z"', '"2026-03-01T12:00:00.1Z"', '"2026-03-01T12:00:00.1234567Z"'),
    *('"2026-03-01T12:00:00.9999999Z"', '"2026-03-01 12:00:00Z"', '"2026-03-01T12:00:00"'),
    *('"2026-03-01t12:00:00z"', '"2026-03-01T14:00:00+02:00"', '"2026-03-01T12:00:00+0000"'),
    *('"\uff12026-03-01T12:00:00Z"', '"2026-03-01T12:00:00.123456+05:30"'),
    *('"2026-03-01T12:00:00+05:60"', '"2026-03-01T12:00:00-23:99"', '"2026-03-01T12:00:00+24:00"'),
    *('"2026-03-01T24:00:00Z"', '"2026-03-01T12:00:60Z"', '"2026-02-30T12:00:00Z"', '"1767225600"'),
    *('"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', '"2026-03-01T12:00Z"'),
    *('"0190A000-0000-7000-8000-000000000001"', '"0190a000000070008000000000000001"'),
    *('"urn:uuid:0190a000-0000-7000-8000-000000000001"', '"0190a000-0000-4000-8000-000000000001"'),
    *("[]", "[null]", "[0]", "[1,1]", "[true]", "{}", '{"a":1,"a":2}', '{" a":1}', '{"a ":"b"}'),
    *('{"":1}', '{"a":null}', '{"a":"x"}', '{"a":true}', '{"a":[1]}', '{"a":1e400}', '{"a":1.0}'),
]


def read(body: bytes) -> RunReport | None:
    return None if may_hold_nul(body) else READER.read(body)


def plain(value: Any) -> Any:
    """A report as nested mappings, in the order of its fields, whoever has read it."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, BaseModel) or hasattr(value, "__struct_fields__"):
        return plain(fields_of(value))
    return value


def agree(body: bytes) -> bool:
    """Whether the report is vouched for; then pydantic takes it too, and reads the same."""
    quick = read(body)
    if quick is None:
        return False
    # As texts: 1 and 1.0 are told apart then.
    assert repr(plain(quick)) == repr(plain(RunReport.model_validate_json(body)))
    return True


def sent() -> Iterator[bytes]:
    """Reports as trackers send them."""
    yield from templates()
    yield json.dumps(whole_report(), indent=2).encode()
    yield json.dumps(whole_report(), ensure_ascii=False).encode()
    for report in (
        *scaling_study(),
        recorded_run(2, 5, ("gpu_power", "cpu_utilization")),
        make_report(reporter="node-1 0123", status="running", live_interval_s=10.0),
        make_report(tags={"schl\u00fcssel": "\u6f22\u5b57"}, config={"lr": 1e-4, "on": True}),
        make_report(cpu_energy_kwh=None, ram_energy_kwh=None, intensity_g_per_kwh=None),
        make_report(nodes=[], epochs=[]),
    ):
        yield report.model_dump_json().encode()


@pytest.mark.parametrize("body", list(sent()))
def test_what_trackers_send_is_read_quickly(body: bytes) -> None:
    assert agree(body)


def test_what_is_vouched_for_is_what_pydantic_reads() -> None:
    """In each place of a report each odd value, one after the other."""
    document = whole_report()
    every = list(places(document))
    vouched_for = sum(
        agree(_with_token(document, path, token)) for path in every for token in ODD_TOKENS
    )
    # Fewer would say that the odd values are too odd to tell the two readers apart.
    assert vouched_for > len(every)


def test_nothing_malformed_is_vouched_for() -> None:
    chance = random.Random(4)
    document = whole_report()
    text, every = json.dumps(document), list(places(document))
    taken = 0
    for _ in range(3000):
        taken += agree(mutated(text, every, chance))
    assert taken > 0


@pytest.mark.parametrize(
    ("path", "most", "parts"),
    [
        (("tags",), 100, lambda count: {f"k{number}": "v" for number in range(count)}),
        (("config",), 1000, lambda count: {f"k{number}": number for number in range(count)}),
        (("epochs", 0, "metrics"), 1000, lambda count: {f"m{each}": 0.5 for each in range(count)}),
        (("nodes", 0, "ranks"), 100_000, lambda count: [0] * count),
        (("nodes", 0, "devices"), 1024, lambda count: [{"uuid": "GPU-0"}] * count),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_no_more_is_taken_than_there_may_be(
    path: tuple[str | int, ...], most: int, parts: Callable[[int], Any]
) -> None:
    for count in (most, most + 1):
        body = _with_token(whole_report(), path, json.dumps(parts(count)))
        assert agree(body) == (count <= most)


@pytest.mark.parametrize("nudge", [1 + 4e-16, 1 + 1e-13, 1 - 1e-13])
def test_quantities_are_rounded_as_pydantic_does(nudge: float) -> None:
    document = whole_report()
    for part in (document, *document["nodes"]):
        for name, value in part.items():
            if name.endswith(("_kwh", "_kg", "_s")) and isinstance(value, float):
                part[name] = value * nudge
    assert agree(json.dumps(document).encode())


def test_a_model_can_be_made_of_it() -> None:
    body = json.dumps(whole_report()).encode()
    quick = READER.read(body)
    assert quick is not None
    theirs = RunReport.model_validate_json(body)
    assert model_of(RunReport, quick) == theirs
    assert model_of(RunReport, theirs) is theirs
    assert json.loads(json_of(quick)) == json.loads(json_of(theirs)) == whole_json(theirs)


def whole_json(report: RunReport) -> Any:
    return json.loads(report.model_dump_json())


def test_an_unknown_rule_is_not_passed_over() -> None:
    class Strange(BaseModel, extra="forbid"):
        field: Annotated[int, BeforeValidator(abs)]

    class Either(BaseModel, extra="forbid"):
        field: NodeReport | RunReport

    class Stripped(BaseModel, extra="forbid", str_strip_whitespace=True):
        field: str

    class Made(BaseModel, extra="forbid"):
        field: list[int] = Field(default_factory=lambda: [1])

    class Renamed(BaseModel, extra="forbid"):
        field: int = Field(alias="other")

    class Before(BaseModel, extra="forbid"):
        field: int

        @field_validator("field", mode="before")
        @classmethod
        def _absolute(cls, value: int) -> int:
            return abs(value)

    class Open(BaseModel):
        field: int

    shapes = (Strange, Either, Stripped, Made, Renamed, Before, Open)
    for shape in shapes:
        with pytest.raises(TypeError):
            QuickReader(shape)


def test_an_item_that_is_not_read_quickly_leaves_the_others_alone() -> None:
    good, late = make_report(), make_report()
    odd = late.model_dump_json().replace('12:00:00Z"', '12:00:00.0000001Z"', 1)
    assert read(odd.encode()) is None
    bad = '{"run_id":1}'
    items = ",".join([good.model_dump_json(), odd, bad])
    first, second, third = reports_in(f'{{"items":[{items}]}}'.encode())
    assert plain(first) == plain(good)
    assert second == late
    assert isinstance(third, Exception)
    with pytest.raises(ValidationError):
        RunReport.model_validate_json(bad)


def _with_token(document: dict[str, Any], path: tuple[str | int, ...], token: str) -> bytes:
    """The document as JSON, with other text in one place."""
    copy = json.loads(json.dumps(document))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = "here it stands"
    return json.dumps(copy).replace('"here it stands"', token).encode()
