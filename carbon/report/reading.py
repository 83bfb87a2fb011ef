"""The runs of a study, read from the ledger over REST."""

from difflib import get_close_matches

from carbon.errors import UsageError
from carbon.rest.client import Client
from carbon.schema import RunReport

_NAMED_AT_MOST = 8


def read_runs(client: Client, study: str, project: str | None) -> list[RunReport]:
    """Return the runs of a study, the oldest first, without what they recorded over time.

    Raises:
        UsageError: there is no such study, or several projects have one of this name.
        ApiError: the ledger could not be asked.
    """
    found = list(client.all_runs(study=study, project=project))
    if not found:
        raise UsageError(_unknown(client, study, project))
    projects = sorted({run.project for run in found})
    if len(projects) > 1:
        raise UsageError(
            f"{len(projects)} projects have a study {study!r}: {', '.join(projects)}; choose one "
            "with --project"
        )
    found.sort(key=lambda run: (run.started_at, run.run_id))
    return [client.run(run.run_id, with_series=False) for run in found]


def _unknown(client: Client, study: str, project: str | None) -> str:
    projects = [project] if project else [totals.project for totals in client.projects()]
    names = sorted({totals.study for name in projects for totals in client.studies(name)})
    where = f"in project {project!r}" if project else "in the ledger"
    if not names:
        return f"there is no study {study!r} {where}, nor any other; give runs one with study=..."
    shown = get_close_matches(study, names, n=3) or names[:_NAMED_AT_MOST]
    return f"there is no study {study!r} {where}; there are, among others: {', '.join(shown)}"
