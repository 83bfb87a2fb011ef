"""The race between configurations, as data for the page."""

from collections.abc import Sequence
from typing import Any

from carbon import wording
from carbon.analysis.race import Racer
from carbon.palette import STRATEGIES


def race_data(racers: Sequence[Racer], epochs: int) -> dict[str, Any]:
    """Return a lane for each racer, those that finish first on top; times are in seconds.

    A lane's `points` are moments with the fraction of the training that is done by then.
    """
    return {
        "epochs": epochs,
        "lanes": [
            {
                "label": wording.configuration(racer.strategy, racer.workers),
                "color": STRATEGIES[racer.strategy][0],
                "shape": STRATEGIES[racer.strategy][1],
                "points": racer.points,
                "phases": [
                    {"name": phase.name, "from": phase.from_s, "until": phase.until_s}
                    for phase in racer.phases
                ],
                "finish": racer.finish_s,
                "extrapolated": racer.is_extrapolated,
                "runs": racer.runs,
            }
            for racer in racers
        ],
    }
