"""What a search would start: every trial's parameters and command, without starting any."""

import shlex
from collections.abc import Iterator

from carbon.tuning.commands import trial_command
from carbon.tuning.journal import BASELINE, FINAL
from carbon.tuning.search import Search, backend_of
from carbon.tuning.space import Parameters, shown


def dry_run(search: Search) -> Iterator[str]:
    """Yield what a call would start, line by line, and write nothing.

    Raises:
        CarbonError: a library of the backend is missing.
    """
    spec, finished = search.spec, search.finished()
    yield (
        f"# {spec.parallel} at a time, each with a CARBON_RUN_ID of its own, for up to "
        f"{spec.max_epochs} epochs; from epoch {spec.grace_epochs} on ASHA stops some"
    )
    if spec.baseline is not None and BASELINE not in finished:
        yield from _lines(search, BASELINE, "the baseline", spec.baseline)
    pending = search.pending()
    for number, parameters in backend_of(spec).drawn(spec, pending).items():
        yield from _lines(search, str(number), f"trial {number} of {spec.trials}", parameters)
    if spec.final and FINAL not in finished:
        yield "# and the best of them once more"


def _lines(search: Search, name: str, title: str, parameters: Parameters) -> Iterator[str]:
    yield f"# {title}: {shown(parameters)}"
    yield shlex.join(trial_command(search.spec, name, parameters))
