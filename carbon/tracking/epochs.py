"""The epochs of a run, from their moments to their energy."""

from dataclasses import dataclass

from carbon.spool.part import EpochBegan, EpochEnded, EpochMeasured, Event
from carbon.tracking.metering import Metering


@dataclass(frozen=True)
class Epoch:
    """An epoch that is over, in moments of the monotonic clock."""

    index: int
    began_s: float
    ended_s: float
    metrics: dict[str, float | None]
    part: str | None = None
    """The name of the other part that it belongs to."""


class Epochs:
    """The epochs that wait for their energy; used by the recorder's thread alone."""

    def __init__(self) -> None:
        self._open: EpochBegan | None = None
        self._said_open: EpochBegan | None = None
        self._waiting: list[Epoch] = []
        # Of those that wait, the ones that were said, and whether with their energy.
        self._said: dict[tuple[str | None, int], bool] = {}

    def begin(self, epoch: EpochBegan) -> None:
        """Note one that begins."""
        self._open = epoch

    def end(self, epoch: Epoch) -> None:
        """Note one that has ended, this part's or another's."""
        if epoch.part is None:
            self._open = None
        self._waiting.append(epoch)

    def needed_s(self) -> list[float]:
        """Return the moments that the meters will be asked about."""
        moments = [moment for e in self._waiting for moment in (e.began_s, e.ended_s)]
        return moments + ([self._open.began_s] if self._open and self._open.began_s else [])

    def measure(self, metering: Metering, *, is_end: bool = False) -> list[Event]:
        """Return what is to be said of epochs: once they are known, and again once that stands.

        What has to wait for its energy is said without it, in case the process is killed; at the
        end of the run everything is said, as well as it is known.
        """
        if not self._waiting and self._open is self._said_open:
            return []
        read_s, final_s = metering.read_until_s, metering.final_until_s
        if metering.host_is_opening:
            read_s = final_s = 0.0  # The host's meters will tell of what was before they opened.
        said: list[Event | None] = []
        for epoch in self._waiting:
            key = epoch.part, epoch.index
            is_known = is_end or epoch.ended_s <= read_s
            if is_end or epoch.ended_s <= final_s or self._said.get(key) != is_known:
                energy_j = metering.energy_j(epoch.began_s, epoch.ended_s) if is_known else None
                said.append(_event(epoch, energy_j))
                self._said[key] = is_known
        self._waiting = [epoch for epoch in self._waiting if epoch.ended_s > final_s]
        waiting = {(epoch.part, epoch.index) for epoch in self._waiting}
        self._said = {key: known for key, known in self._said.items() if key in waiting}
        if self._open is not self._said_open:
            self._said_open = self._open
            said.append(self._open)
        return [event for event in said if event is not None]


def _event(epoch: Epoch, energy_j: float | None) -> EpochEnded | EpochMeasured | None:
    if epoch.part is not None:
        return None if energy_j is None else EpochMeasured(epoch.part, epoch.index, energy_j)
    return EpochEnded(
        index=epoch.index,
        duration_s=epoch.ended_s - epoch.began_s,
        energy_j=energy_j,
        metrics=epoch.metrics,
        began_s=epoch.began_s,
    )
