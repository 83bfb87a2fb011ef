"""Where the time of training steps goes: computation, communication, both at once, or neither.

As torch.profiler sees them, https://docs.pytorch.org/docs/stable/profiler.html. Between CPUs, gloo
works in threads of its own, where each exchange is an event `gloo:...` that lasts until the other
workers have answered; the thread that trains shows no operation while it waits for one. Between
GPUs, nccl's kernels do the same on streams of their own.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Its messages of starting and stopping.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from carbon.analysis.intervals import Interval, intersection, length, union

WINDOW = "carbon.profiled_steps"
MICROSECONDS = 1e-6
COMMUNICATION = ("nccl", "gloo:", "horovod")


@dataclass(frozen=True)
class StepTimes:
    """The parts of a duration; `compute_s` is computation that hides no communication."""

    duration_s: float
    compute_s: float
    exposed_communication_s: float
    overlapped_communication_s: float
    idle_s: float


class StepProfiler:
    """Profiles what is done within `steps`; `times` is known afterwards."""

    times: StepTimes

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Profile the steps in this context."""
        is_gpu = self._device.type == "cuda"
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_gpu
        with profile(activities=activities, acc_events=True) as profiler, record_function(WINDOW):
            yield
            if is_gpu:
                torch.cuda.synchronize(self._device)  # What was begun belongs to the steps.
        self.times = step_times(profiler.events() or (), is_gpu=is_gpu)


def step_times(events: Iterable[Any], *, is_gpu: bool) -> StepTimes:
    """Divide the time of the event named `WINDOW` by what the others did in it.

    Args:
        events: of one worker, as `torch.profiler.profile.events()` gives them, in microseconds.
        is_gpu: whether kernels are what computes, and not the operations of the thread that trains.
    """
    events = list(events)
    window = next(each for each in events if each.name == WINDOW and not _on_gpu(each))
    communication: list[Interval] = []
    computation: list[Interval] = []
    for event in events:
        interval = event.time_range.start, event.time_range.end
        if is_gpu != _on_gpu(event):
            continue
        if event.name.startswith(COMMUNICATION):
            communication.append(interval)
        elif is_gpu:
            computation += [] if event.is_user_annotation else [interval]
        # Of the operations, those that compute: what is around them, named otherwise, also waits.
        elif event.name.startswith("aten::") and event.thread == window.thread:
            computation.append(interval)
    return divide((window.time_range.start, window.time_range.end), communication, computation)


def divide(
    window: Interval, communication: Iterable[Interval], computation: Iterable[Interval]
) -> StepTimes:
    """Divide `window`, all in microseconds; what is outside of it does not count."""
    communicated = intersection(union(communication), [window])
    computed = intersection(union(computation), [window])
    overlapped_s = length(intersection(communicated, computed)) * MICROSECONDS
    exposed_s = length(communicated) * MICROSECONDS - overlapped_s
    compute_s = length(computed) * MICROSECONDS - overlapped_s
    duration_s = (window[1] - window[0]) * MICROSECONDS
    busy_s = length(union([*communicated, *computed])) * MICROSECONDS
    return StepTimes(
        duration_s=duration_s,
        compute_s=max(compute_s, 0.0),
        exposed_communication_s=max(exposed_s, 0.0),
        overlapped_communication_s=overlapped_s,
        idle_s=max(duration_s - busy_s, 0.0),
    )


def _on_gpu(event: Any) -> bool:
    return bool(event.device_type.name == "CUDA")
