"""A run in simulated time: metering on the frozen clock, woken as the recorder wakes it."""

import random
from pathlib import Path
from uuid import uuid4

from carbon.attribution.topology import detect
from carbon.meters import nvml
from carbon.spool.spool import Spool
from carbon.tracking.metering import Metering, Sources
from tests.nvml_sim.gpus import SimulatedGpus

SAMPLE_INTERVAL_S = 1.0
FOLLOW_WAIT_S = 0.3


class SimulatedRun:
    """The metering of a run that begins now, and whose meters open `opening_s` later.

    Wake-ups are never quite on time: mostly less than a millisecond late, sometimes up to 20.
    """

    def __init__(
        self, gpus: SimulatedGpus, spool_dir: Path, *, seed: int, opening_s: float = 0.02
    ) -> None:
        self.gpus = gpus
        self.began_s = gpus.clock()
        self.wake_ups = 0
        self._random = random.Random(seed)
        self.metering = Metering(
            uuid4(),
            Spool(spool_dir / str(seed)),  # Of its own: runs of one spool would share the GPUs.
            Sources(lambda: nvml.open_meters({}, clock=gpus.clock), list),
            detect({}),
            self.began_s,
            gpus.clock,
        )
        gpus.skip(opening_s)
        self.metering.open()
        self._sampled_s = self.began_s

    def go_on(self, duration_s: float) -> None:
        """Let so much time pass, with a sample every second and polls as they are asked for."""
        end_s = self.gpus.clock() + duration_s
        while self.gpus.clock() < end_s:
            due_s = min(self._sampled_s + SAMPLE_INTERVAL_S, self.metering.next_poll_s())
            self._sleep_until(min(due_s, end_s))
            if self.gpus.clock() >= self._sampled_s + SAMPLE_INTERVAL_S:
                self._sampled_s = self.gpus.clock()
                self.metering.read(hosts_too=True)
                self.metering.divide(self._sampled_s)
                self.metering.forget_before(self._sampled_s - 2 * SAMPLE_INTERVAL_S)
            else:
                self.metering.poll()

    def edge(self, *, is_end: bool = False) -> float:
        """Read at the edge of an epoch and follow it; return its moment."""
        at_s = self.gpus.clock()
        self.metering.follow(at_s, is_end=is_end)
        self.metering.read(hosts_too=False)
        return at_s

    def end(self) -> list[float]:
        """End the run at this moment and return the joules of every GPU, in order."""
        end_s = self.edge(is_end=True)
        while self.metering.is_following and self.gpus.clock() < end_s + FOLLOW_WAIT_S:
            self._sleep_until(self.metering.next_poll_s())
            self.metering.poll()
        energy_j = self.metering.sampled(end_s).energy_j
        self.metering.leave(end_s)
        self.metering.close()
        return [energy_j[f"gpu:{uuid}"] for uuid in self.gpus.uuids]

    def _sleep_until(self, moment_s: float) -> None:
        self.wake_ups += 1
        late_s = self._random.expovariate(1 / 0.0003)
        if self._random.random() < 0.01:
            late_s += self._random.uniform(0, 0.02)
        self.gpus.skip(max(moment_s - self.gpus.clock(), 0.0) + late_s)
