"""ROCm's variables in every form that its two layers take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.attribution.visible_devices_rocm import hides, visible_gpus

UUIDS = [
    "GPU-4e8178561fb8192a",
    "GPU-4e99b1f032cd11ee",
    "GPU-d6b6ff4c32cd11ee",
    "GPU-01a7c0de00004000",
]


def visible(rocr: str | None = None, hip: str | None = None, cuda: str | None = None) -> list[int]:
    names = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
    environ = {n: v for n, v in zip(names, (rocr, hip, cuda), strict=True) if v is not None}
    return visible_gpus(environ, UUIDS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        (" ", []),
        ("-1", []),
        ("none", []),
        ("0", [0]),
        ("3,1", [3, 1]),
        (" 1 , 2 ", [1, 2]),
        ("0x2,01", [2, 1]),
        ("09", []),
        ("1,9,2", [1]),
        ("1,,2", [1]),
        ("1gpu", []),
        # A GPU that was named already ends the list.
        ("1,2,1,3", [1, 2]),
        (UUIDS[2], [2]),
        (UUIDS[2].upper(), [2]),
        (UUIDS[2].lower(), [2]),
        (f"0,{UUIDS[3]}", [0, 3]),
        (f"{UUIDS[3]},0", [3, 0]),
        ("GPU-d6", [2]),
        ("GPU-4e8,GPU-4e9", [0, 1]),
        ("GPU-4e", []),
        ("GPU-", []),
        (f"{UUIDS[0]}0", []),
        ("1,GPU-77,2", [1]),
    ],
)
def test_the_runtime_s_list(value: str | None, expected: list[int]) -> None:
    assert visible(rocr=value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2, 3]),
        # Nothing is as good as not set.
        ("", [0, 1, 2, 3]),
        ("-1", []),
        ("0", [0]),
        ("3,1", [3, 1]),
        ("1, 2", [1]),
        ("01", []),
        ("1,9,2", [1]),
        ("1,1,2", [1, 2]),
        (f"{UUIDS[1]},0", [1, 0]),
        ("GPU-77", []),
    ],
)
def test_hip_s_list(value: str | None, expected: list[int]) -> None:
    assert visible(hip=value) == expected
    assert visible(cuda=value) == expected
    assert visible(hip="", cuda=value) == expected


def test_hip_s_own_variable_comes_first() -> None:
    assert visible(hip="1", cuda="2") == [1]


@pytest.mark.parametrize(
    ("rocr", "hip", "expected"),
    [
        ("2,3", "0", [2]),
        ("2,3", "1,0", [3, 2]),
        ("2,3", "2", []),
        ("2,3", UUIDS[3], [3]),
        ("2,3", UUIDS[0], []),
        ("", "0", []),
        ("3,1", "", [3, 1]),
    ],
)
def test_hip_counts_in_what_the_runtime_has_left(rocr: str, hip: str, expected: list[int]) -> None:
    assert visible(rocr=rocr, hip=hip) == expected
    assert visible(rocr=rocr, cuda=hip) == expected


def test_gpus_without_a_uuid_are_found_by_index_alone() -> None:
    assert visible_gpus({"ROCR_VISIBLE_DEVICES": "1"}, ["", ""]) == [1]
    assert visible_gpus({"ROCR_VISIBLE_DEVICES": "GPU-4e8"}, ["", ""]) == []
    assert visible_gpus({"HIP_VISIBLE_DEVICES": "GPU-4e8"}, ["", ""]) == []


_TEXT = st.none() | st.text(alphabet="GPU-0123489aefx, +", max_size=40)


@given(_TEXT, _TEXT, _TEXT)
def test_any_text_gives_each_gpu_at_most_once(
    rocr: str | None, hip: str | None, cuda: str | None
) -> None:
    found = visible(rocr, hip, cuda)
    assert len(set(found)) == len(found)
    assert set(found) <= {0, 1, 2, 3}


def test_what_hides_is_said() -> None:
    assert hides({"HIP_VISIBLE_DEVICES": "-1", "PATH": "/"}) == "HIP_VISIBLE_DEVICES='-1'"
