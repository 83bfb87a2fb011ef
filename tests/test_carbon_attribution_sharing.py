"""Runs that overlap on one host add up to what it drew."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.attribution.neighbours import Card, Usage
from carbon.attribution.sharing import Capacity, Share, divide, known_until_s

HOST = Capacity(cores=4, memory_b=1000)
A, B, C = "run-a", "run-b", "run-c"


def card(
    run_id: str,
    from_s: float = 0.0,
    left_s: float | None = None,
    usages: list[tuple[float, float, int]] | None = None,
    key: str = "host",
) -> Card:
    said_s = usages[-1][0] if usages else from_s
    return Card(
        run_id, 1, "boot", said_s, {key: from_s}, [Usage(*usage) for usage in usages or []], left_s
    )


def test_a_run_alone_keeps_all() -> None:
    assert divide([card(A)], A, "host", "cpu", HOST, (0, 10)) == []


def test_cpu_energy_follows_cpu_time_and_the_idle_part_is_shared_equally() -> None:
    # In 10 s of 4 cores A uses 20 s and B 10 s: half and a quarter of the host, a quarter idle.
    cards = [card(A, usages=[(0, 5, 0), (10, 25, 0)]), card(B, usages=[(0, 0, 0), (10, 10, 0)])]
    assert divide(cards, A, "host", "cpu", HOST, (0, 10)) == [Share(0, 10, 0.625, 2)]
    assert divide(cards, B, "host", "cpu", HOST, (0, 10)) == [Share(0, 10, 0.375, 2)]


def test_ram_energy_follows_the_memory_held() -> None:
    cards = [card(A, usages=[(0, 0, 600), (10, 0, 600)]), card(B, usages=[(0, 0, 0), (10, 0, 0)])]
    assert divide(cards, A, "host", "ram", HOST, (0, 10)) == [Share(0, 10, 0.8, 2)]
    assert divide(cards, B, "host", "ram", HOST, (0, 10)) == [Share(0, 10, 0.2, 2)]


def test_a_gpu_is_divided_equally_among_the_runs_that_hold_it() -> None:
    cards = [card(A, key="gpu:1"), card(B, key="gpu:1"), card(C, key="gpu:2")]
    assert divide(cards, A, "gpu:1", "gpu", HOST, (0, 10)) == [Share(0, 10, 0.5, 2)]
    assert divide(cards, C, "gpu:2", "gpu", HOST, (0, 10)) == []


def test_only_the_time_together_is_divided() -> None:
    cards = [card(A, 0, key="g"), card(B, 4, 6, key="g")]
    assert divide(cards, A, "g", "gpu", HOST, (0, 10)) == [Share(4, 6, 0.5, 2)]


def test_processes_of_one_run_are_one() -> None:
    """A device handed on from rank to rank is not divided between them."""
    cards = [card(A, 0, 5, key="g"), card(A, 5, key="g")]
    assert divide(cards, A, "g", "gpu", HOST, (0, 10)) == []


def test_where_somebody_has_not_said_it_is_equal() -> None:
    cards = [card(A, usages=[(0, 0, 0), (10, 40, 0)]), card(B, usages=[(9, 1, 0)])]
    assert {share.fraction for share in divide(cards, A, "host", "cpu", HOST, (0, 10))} == {0.5}


def test_more_use_than_there_is_host_is_scaled_down() -> None:
    """Counters read a moment apart can show more CPU time than the cores have."""
    cards = [card(A, usages=[(0, 0, 0), (10, 60, 0)]), card(B, usages=[(0, 0, 0), (10, 20, 0)])]
    assert divide(cards, A, "host", "cpu", HOST, (0, 10))[0].fraction == pytest.approx(0.75)


moments = st.floats(0, 100, allow_nan=False)
usage_lists = st.lists(
    st.tuples(moments, st.floats(0, 50), st.integers(0, 1200)),
    max_size=5,
    unique_by=lambda u: round(u[0], 3),
).map(
    lambda found: [
        (at_s, cpu_s, memory)
        for (at_s, _, memory), cpu_s in zip(
            sorted(found), itertools.accumulate(c for _, c, _ in found), strict=True
        )
    ]
)
people = st.lists(
    st.builds(
        card,
        run_id=st.sampled_from([A, B, C]),
        from_s=st.floats(0, 50),
        left_s=st.none() | st.floats(50, 100),
        usages=usage_lists,
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda c: c.run_id,
)


@given(people, st.sampled_from(["cpu", "ram"]))
def test_the_shares_of_every_moment_add_up_to_one(cards: list[Card], component: str) -> None:
    taken: dict[tuple[float, float], float] = {}
    for one in cards:
        for share in divide(cards, one.run_id, "host", component, HOST, (0, 100)):  # type: ignore[arg-type]
            assert 0 <= share.fraction <= 1
            stretch = (share.from_s, share.until_s)
            taken[stretch] = taken.get(stretch, 0) + share.fraction
    assert all(total == pytest.approx(1) for total in taken.values())


def test_nothing_is_final_before_everybody_has_said_what_they_used() -> None:
    cards = [card(A, usages=[(0, 0, 0), (8, 1, 0)]), card(B, 1, usages=[(2, 0, 0), (6, 1, 0)])]
    assert known_until_s(cards, "host", 9, patience_s=5) == 6
    assert known_until_s(cards, "host", 20, patience_s=5) == 15
    assert known_until_s([card(A)], "other", 20, patience_s=5) == 20
