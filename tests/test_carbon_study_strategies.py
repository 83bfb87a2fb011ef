"""The one table of how strategies are started, and what each lacks where it is not installed."""

from typing import get_args

import pytest

from carbon import schema
from carbon.errors import CarbonError, UsageError
from carbon.study.strategies import (
    INSTALL,
    STARTS,
    launcher_of,
    require_installed,
    shared,
    started_by,
)


def test_every_strategy_of_the_trainers_is_in_the_table() -> None:
    assert {*STARTS, "other"} == set(get_args(schema.Strategy))
    assert set(shared()) == set(STARTS) - {"single"}
    assert started_by("ray") == ["ray-ddp", "ray-deepspeed"]
    with pytest.raises(UsageError, match="'other' is none of the trainers': single, ddp"):
        launcher_of("other")


def test_every_library_has_a_way_to_get_it() -> None:
    assert {library for start in STARTS.values() for library in start.needs} == set(INSTALL)


def test_what_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ray" else name)
    with pytest.raises(CarbonError, match=r"'ray-ddp' needs ray, .*carbon-ledger\[ray\]"):
        require_installed("ray-ddp")
    require_installed("deepspeed")
    require_installed("other")
