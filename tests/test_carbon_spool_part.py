import json
import math

import pytest

from carbon.spool.part import (
    Committed,
    Described,
    Ended,
    EpochBegan,
    EpochEnded,
    EpochMeasured,
    Event,
    Logged,
    Metered,
    Part,
    RunBy,
    Sampled,
    Started,
    from_line,
    to_line,
)

STARTED = Started(
    run_id="01a1fc02-954e-7ee0-a2fa-e2f27a5ced79",
    started_at="2026-03-01T12:00:00+00:00",
    spec={"project": "digits", "tags": {"line": "a\nb"}},
    hostname="node-1",
    pid=42,
    rank=0,
    world_size=1,
    n_nodes=1,
    attempt=0,
)
EVENTS: list[Event] = [
    STARTED,
    Described({"country_iso_code": "DEU", "pue": 1.2}, {"python": "3.11"}),
    Committed("0" * 40),
    RunBy("ann"),
    Metered("cpu", "cpu", "steady", 0.1, name="A processor"),
    Metered("gpu:GPU-0", "gpu", "steady", 0.1, "GPU-0", 0, "A GPU"),
    Logged({"accuracy": 0.5}),
    EpochEnded(0, 1.5, 90.0, {"loss": 0.25, "grad": None}, 0.5),
    EpochBegan(1, 2.0),
    EpochMeasured("node-1-0-0-43-0", 0, 45.0),
    Sampled(2.0, {"cpu": 120.0}, {"gpu:GPU-0": 50.0}, {"gpu:GPU-0": "lost after 1 s"}),
    Ended("completed", 2.5),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_one_line_and_comes_back(event: Event) -> None:
    line = to_line(event)
    assert "\n" not in line
    assert from_line(line) == event


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"cpu": 1, "ram": 0.1 + 0.2},
        {'"gpu"\n\\': 1e-300, "Gerät": 1.7976931348623157e308},
        {"cpu": math.inf, "ram": 2.5},
        {"cpu": 1e308, "ram": 1e308},
    ],
)
def test_what_is_written_every_second_is_what_json_makes_of_it(numbers: dict[str, float]) -> None:
    event = Sampled(12.5, energy_j=numbers, utilization_percent={"gpu": 70.0}, notes={})
    line = to_line(event)
    assert line == json.dumps({"kind": "sampled", **vars(event)}, separators=(",", ":"))
    assert from_line(line) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_a_torn_line_is_no_event(event: Event) -> None:
    line = to_line(event)
    for length in range(len(line)):
        with pytest.raises(ValueError, match="not an event"):
            from_line(line[:length])


@pytest.mark.parametrize(
    "line", ["[]", "null", '"started"', "{}", '{"kind":"x"}', '{"kind":"ended"}']
)
def test_json_of_another_shape_is_no_event(line: str) -> None:
    with pytest.raises(ValueError, match="not an event"):
        from_line(line)


def test_replay_says_what_was_said() -> None:
    part = Part.replay(EVENTS, is_alive=True)
    assert part is not None
    assert part.meters.keys() == {"cpu", "gpu:GPU-0"}
    assert part.sampled.energy_j == {"cpu": 120.0}
    assert part.metrics == {"accuracy": 0.5, "loss": 0.25, "grad": None}
    assert part.duration_s == 2.5
    assert part.status == "completed"


def test_the_fewest_events_say_the_same() -> None:
    many = [*EVENTS[:-2], *(Sampled(t / 10, {"cpu": t}, {}, {}) for t in range(20)), *EVENTS[-2:]]
    part = Part.replay(many, is_alive=False)
    assert part is not None
    assert len(part.events()) == len(EVENTS)
    assert Part.replay(part.events(), is_alive=False) == part


@pytest.mark.parametrize(("is_alive", "status"), [(True, "running"), (False, "interrupted")])
def test_a_part_without_an_end_runs_or_was_killed(is_alive: bool, status: str) -> None:
    part = Part.replay(EVENTS[:-1], is_alive=is_alive)
    assert part is not None
    assert part.status == status
    assert part.duration_s == 2.0


def test_without_its_first_event_there_is_no_part() -> None:
    assert Part.replay(EVENTS[1:], is_alive=True) is None
