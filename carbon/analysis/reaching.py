"""What a metric cost to reach: time, energy and CO2e along the epochs of a training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from carbon import units
from carbon.analysis.lineage import Lineage
from carbon.schema import RunReport

Mode = Literal["min", "max"]


@dataclass(frozen=True)
class Milestone:
    """The end of an epoch: the metric there, and what all epochs until then took.

    Attributes:
        index: of the epoch.
        value: of the metric; None where it was not logged, or not finite.
        time_s: of all epochs until then, lost ones with them.
        energy_kwh: of the same; None from the first epoch on of which it is not known.
        emissions_kg: of the same, each run at its own PUE and intensity; likewise.
    """

    index: int
    value: float | None
    time_s: float
    energy_kwh: float | None
    emissions_kg: float | None


def course(training: RunReport | Lineage, metric: str) -> list[Milestone]:
    """Return the metric against what it cost, a milestone for each epoch that was not lost.

    Costs are those of the epochs alone, also of the lost ones: what a run takes before its first
    epoch, between epochs and after its last is not in them.
    """
    lineage = training if isinstance(training, Lineage) else Lineage([training])
    milestones = []
    time_s = 0.0
    energy_kwh: float | None = 0.0
    emissions_kg: float | None = 0.0
    for trained in lineage.epochs:
        run, epoch = trained.run, trained.epoch
        time_s += epoch.duration_s
        emitted_kg = units.known_emissions_kg(epoch.energy_kwh, run.pue, run.intensity_g_per_kwh)
        energy_kwh = _sum(energy_kwh, epoch.energy_kwh)
        emissions_kg = _sum(emissions_kg, emitted_kg)
        if not trained.is_lost:
            milestones.append(
                Milestone(
                    index=epoch.index,
                    value=epoch.metrics.get(metric),
                    time_s=time_s,
                    energy_kwh=energy_kwh,
                    emissions_kg=emissions_kg,
                )
            )
    return milestones


def cost_to_reach(milestones: Sequence[Milestone], target: float, mode: Mode) -> Milestone | None:
    """Return the first milestone at which the metric is the target or better; None where never.

    To the epoch: a metric is known where it was logged, and nothing is interpolated between.

    Args:
        mode: "max" where more is better, as of an accuracy; "min" where less is, as of a loss.
    """
    for milestone in milestones:
        value = milestone.value
        if value is not None and (value >= target if mode == "max" else value <= target):
            return milestone
    return None


def _sum(so_far: float | None, more: float | None) -> float | None:
    return None if so_far is None or more is None else units.add_known([so_far, more])
