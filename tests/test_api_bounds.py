"""What is cut out of a JSON text before anything looks at its values."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import bounds
from api.bodies import described
from api.bounds import MOST_ITEMS, MOST_MEMBERS, Excess, cut_to_bounds
from carbon import schema
from carbon.schema.fields import Wire

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=40,
)


@pytest.fixture(scope="module", autouse=True)
def _small_bounds() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "MOST_LEVELS", 3)
        patch.setattr(bounds, "MOST_MEMBERS", 3)
        patch.setattr(bounds, "MOST_ITEMS", 4)
        yield


def cut(value: Any, levels: int = 3) -> Any:
    """Cut a value as the text of it should be."""
    if not isinstance(value, list | dict):
        return value
    if not levels:
        return None
    if isinstance(value, list):
        return [cut(each, levels - 1) for each in value[:4]]
    return {name: cut(each, levels - 1) for name, each in list(value.items())[:3]}


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=300)
def test_what_is_left_is_the_same_within_the_bounds(
    value: Any, as_ascii: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=as_ascii, indent=indent).encode()
    left, excesses = cut_to_bounds(text)
    assert json.loads(left) == cut(value)
    assert bool(excesses) == (cut(value) != value)
    if not excesses:
        assert left is text


@given(st.binary() | st.text(alphabet='[]{},:"\\0 ').map(str.encode))
@settings(max_examples=300)
def test_what_is_not_json_is_never_made_so(text: bytes) -> None:
    left, excesses = cut_to_bounds(text)
    assert excesses or left is text
    assert len(left) <= len(text) + 4 * len(excesses)


@pytest.mark.parametrize(
    ("text", "left", "excesses"),
    [
        (b"[[[[1]]],2]", b"[[[null]],2]", [Excess((0, 0, 0), "is nested more than 3 levels deep")]),
        (b'{"a":{"b":[{"c":"]}"}]}}', b'{"a":{"b":[null]}}', [("a", "b", 0)]),
        (b"[1,2,3,4,5,[[]],6]", b"[1,2,3,4]", [Excess((), "has more than 4 items")]),
        (b'{"x":{"a":0,"b":0,"c":0,"d":"}"},"y":1}', b'{"x":{"a":0,"b":0,"c":0},"y":1}', ["x"]),
        (b"[[[[],[[]]],[[0]]],9]", b"[[[null,null],[null]],9]", [(0, 0, 0), (0, 1, 0)]),
        (b"[[[[],[[]]]],9,[[0,[]]]]", b"[[[null,null]],9,[[0,null]]]", [(0, 0, 0), (2, 0, 1)]),
        (b"[[[[", b"[[[null", [(0, 0, 0)]),
        (b'[1,2,3,4,"', b"[1,2,3,4", [()]),
        (b'{"\\"\xff":[[[]]]}', b'{"\\"\xff":[[null]]}', [('\\"\ufffd', 0, 0)]),
    ],
)
def test_what_is_cut_out_is_named(text: bytes, left: bytes, excesses: list[Any]) -> None:
    found = cut_to_bounds(text)
    assert found[0] == left
    for excess, expected in zip(found[1], excesses, strict=True):
        place = (expected,) if isinstance(expected, str) else expected
        assert expected == excess if isinstance(expected, Excess) else place == excess.place


BODIES: list[type[Wire]] = [
    schema.RunReport,
    schema.Correction,
    schema.FactorTable,
    schema.RecostOrder,
    schema.WhatIfTerms,
    schema.PriceTerms,
    schema.BudgetTerms,
    schema.HardwareTerms,
]


def parts(whole: Any) -> list[dict[str, Any]]:
    """Return a JSON schema and all that are in it."""
    inside = whole.values() if isinstance(whole, dict) else whole
    below = [part for each in inside if isinstance(each, dict | list) for part in parts(each)]
    return [whole, *below] if isinstance(whole, dict) else below


@pytest.mark.parametrize("shape", BODIES, ids=lambda shape: shape.__name__)
def test_nothing_that_a_body_may_hold_is_beyond_the_bounds(shape: type[Wire]) -> None:
    found = parts(described(shape))
    assert any("properties" in part for part in found)
    for part in found:
        assert part.get("maxItems", 0) <= MOST_ITEMS
        assert part.get("maxProperties", 0) <= MOST_MEMBERS
        assert len(part.get("properties", {})) <= MOST_MEMBERS
