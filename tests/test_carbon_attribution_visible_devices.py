"""`CUDA_VISIBLE_DEVICES` in every form that CUDA takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.attribution.visible_devices import VisibleDevice, visible_devices

UUIDS = [
    "GPU-4e817856-1fb8-192a-7ab7-0e0e4476c184",
    "GPU-4e99b1f0-32cd-11ee-be56-0242ac120002",
    "GPU-d6b6ff4c-32cd-11ee-be56-0242ac120002",
    "GPU-f1a7c0de-0000-4000-8000-000000000003",
]
GPUS = list(enumerate(UUIDS))
A_SLICE = "MIG-8a1f0e33-5d07-5c1f-9a2b-3c4d5e6f7081"
OLD_SLICE = f"MIG-{UUIDS[2]}/1/0"


def indices(value: str | None, gpus: list[tuple[int, str]] = GPUS) -> list[int | None]:
    environ = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    return [device.index for device in visible_devices(environ, gpus)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        (" ", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("none", []),
        ("0", [0]),
        ("2", [2]),
        ("0,1,2,3", [0, 1, 2, 3]),
        ("3,1", [3, 1]),
        (" 1 , 2 ", [1, 2]),
        ("+1", [1]),
        ("01", [1]),
        # As strtol reads them: a number up to the first character that is none.
        ("1gpu,2 of them", [1, 2]),
        # The list ends before its first entry that names no GPU.
        ("1,2,-1,3", [1, 2]),
        ("1,9,2", [1]),
        ("9,1", []),
        ("1,,2", [1]),
        ("1,", [1]),
        (",1", []),
        ("1,x,2", [1]),
        # A list that names a GPU twice is void.
        ("0,0", []),
        ("1,2,1", []),
        ("1,01", []),
        (UUIDS[1], [1]),
        (f"{UUIDS[3]},{UUIDS[0]}", [3, 0]),
        (f" {UUIDS[3]} , {UUIDS[0]} ", [3, 0]),
        # The beginning of a UUID does where only one GPU fits.
        ("GPU-d6", [2]),
        ("GPU-4e8,GPU-4e9", [0, 1]),
        ("GPU-4e", []),
        ("GPU-", []),
        ("GPU-d6,GPU-4e,GPU-f1", [2]),
        ("GPU-00000000-1111-2222-3333-444444444444", []),
        (f"{UUIDS[0]},GPU-4e8", []),
        # The first entry says what kind of list it is.
        (f"0,{UUIDS[1]}", [0]),
        (f"{UUIDS[1]},0", [1]),
        ("gpu-d6", []),
    ],
)
def test_whole_gpus(value: str | None, expected: list[int]) -> None:
    assert indices(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (A_SLICE, [VisibleDevice(A_SLICE, None, is_slice=True)]),
        (OLD_SLICE, [VisibleDevice(OLD_SLICE, 2, is_slice=True)]),
        (
            f"{OLD_SLICE},MIG-{UUIDS[2]}/2/0",
            [
                VisibleDevice(OLD_SLICE, 2, is_slice=True),
                VisibleDevice(f"MIG-{UUIDS[2]}/2/0", 2, is_slice=True),
            ],
        ),
        (f"MIG-{UUIDS[2]}", [VisibleDevice(f"MIG-{UUIDS[2]}", 2, is_slice=True)]),
        ("MIG-GPU-d6/1/0", [VisibleDevice("MIG-GPU-d6/1/0", 2, is_slice=True)]),
        ("MIG-GPU-4e/1/0", []),
        ("MIG-GPU-77777777/1/0", []),
        ("MIG-", []),
        (f"{A_SLICE},{A_SLICE}", []),
        (f"{A_SLICE},0", [VisibleDevice(A_SLICE, None, is_slice=True)]),
    ],
)
def test_mig_slices(value: str, expected: list[VisibleDevice]) -> None:
    assert visible_devices({"CUDA_VISIBLE_DEVICES": value}, GPUS) == expected


def test_devices_carry_the_index_and_uuid_that_nvml_gave() -> None:
    # A board that does not answer is missing from both enumerations: CUDA's index 1 is NVML's 2.
    gpus = [(0, UUIDS[0]), (2, UUIDS[2])]
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "1"}, gpus) == [VisibleDevice(UUIDS[2], 2)]


@pytest.mark.parametrize("value", [None, "", "0", "GPU-4e8", A_SLICE, "-1"])
def test_a_machine_without_gpus(value: str | None) -> None:
    visible = indices(value, [])
    assert visible == ([None] if value == A_SLICE else [])


@given(st.text(alphabet="GPUMI-0123456789abcdef,/ +x", max_size=60))
def test_any_text_gives_each_gpu_at_most_once(value: str) -> None:
    found = visible_devices({"CUDA_VISIBLE_DEVICES": value}, GPUS)
    assert len({device.uuid for device in found}) == len(found)
    for device in found:
        assert device.is_slice or (device.index, device.uuid) in GPUS


@pytest.mark.parametrize("count", range(1, 17))
def test_every_number_of_gpus(count: int) -> None:
    gpus = [(index, f"GPU-{index:08x}") for index in range(count)]
    backwards = ",".join(str(index) for index in reversed(range(count)))
    assert indices(backwards, gpus) == list(reversed(range(count)))
    assert indices(None, gpus) == list(range(count))
