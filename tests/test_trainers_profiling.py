"""Where the time of steps goes: nothing counted twice, waiting for others is communication."""

from dataclasses import astuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.profiling import WINDOW, StepProfiler, divide, step_times

spans = st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), max_size=8)


def event(
    name: str, start: float, end: float, thread: int = 1, kind: str = "CPU", marked: bool = False
) -> Any:
    """An event as torch.profiler gives it, in microseconds."""
    return SimpleNamespace(
        name=name,
        time_range=SimpleNamespace(start=start, end=end),
        thread=thread,
        device_type=SimpleNamespace(name=kind),
        is_user_annotation=marked,
    )


@given(spans, spans)
def test_the_parts_add_up_to_the_duration(
    communication: list[tuple[float, float]], computation: list[tuple[float, float]]
) -> None:
    times = divide((1e8, 9e8), communication, computation)
    assert min(astuple(times)) >= 0
    assert sum(astuple(times)[1:]) == pytest.approx(times.duration_s, rel=1e-9)
    assert times.duration_s == pytest.approx(800.0)


def test_between_cpus_a_step_is_divided_by_what_its_threads_do() -> None:
    events = [
        event(WINDOW, 0, 100e6, marked=True),
        # A parent and its child count once; what is around them may wait, and does not count.
        event("DistributedDataParallel.forward", 0, 60e6, marked=True),
        event("autograd::engine::evaluate_function: RegisterPostBackward", 0, 60e6),
        event("aten::conv2d", 10e6, 40e6),
        event("aten::mkldnn_convolution", 15e6, 40e6),
        # While gloo works in its thread, the training computes until 40 and waits until 70.
        event("c10d::allreduce_", 29e6, 30e6),
        event("gloo:all_reduce", 30e6, 70e6, thread=2, marked=True),
        event("aten::add_", 50e6, 60e6, thread=2),
        event("aten::mul", 80e6, 90e6),
    ]
    times = step_times(events, is_gpu=False)
    assert astuple(times) == pytest.approx((100.0, 30.0, 30.0, 10.0, 30.0))


def test_between_gpus_a_step_is_divided_by_what_its_kernels_do() -> None:
    events = [
        event(WINDOW, 0, 100e6, marked=True),
        event(WINDOW, 5e6, 95e6, kind="CUDA", marked=True),
        event("aten::conv2d", 0, 100e6),
        event("sm90_gemm", 10e6, 50e6, kind="CUDA"),
        event("nccl:all_reduce", 40e6, 80e6, kind="CUDA", marked=True),
        event("ncclDevKernel_AllReduce_Sum_f32_RING_LL", 41e6, 79e6, kind="CUDA"),
    ]
    times = step_times(events, is_gpu=True)
    assert astuple(times) == pytest.approx((100.0, 30.0, 30.0, 10.0, 30.0))


def test_real_operations_are_computation() -> None:
    profiler = StepProfiler(torch.device("cpu"))
    left = torch.randn(200, 200)
    with profiler.steps():
        for _ in range(20):
            left = (left @ left).tanh()
    times = profiler.times
    assert times.compute_s > 0
    assert times.exposed_communication_s == times.overlapped_communication_s == 0
    assert sum(astuple(times)[1:]) == pytest.approx(times.duration_s)
