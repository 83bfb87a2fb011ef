"""What a report holds, however it is shown: notices, answers, figures and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from carbon import wording
from carbon.report.figures import Figure, baseline_of, figures
from carbon.report.notices import notices
from carbon.report.scaling_tables import choices, runs_table, scaling_tables
from carbon.report.search_tables import findings, search_tables
from carbon.report.study import Study
from carbon.report.tables import Table


@dataclass(frozen=True)
class Content:
    """A report.

    Attributes:
        about: what it is of, in a line.
        answers: questions with their answers, in sentences.
    """

    study: Study
    about: str
    notices: Sequence[str]
    answers: Sequence[tuple[str, str]]
    figures: Sequence[Figure]
    tables: Sequence[Table]


def content_of(study: Study) -> Content:
    """Return everything that a report shows of a study."""
    answers = choices(study)
    tables = scaling_tables(study)
    if study.trials is not None:
        answers = [*findings(study.trials), *answers]
        tables = [*search_tables(study.trials), *tables]
    return Content(
        study=study,
        about=_about(study),
        notices=notices(study),
        answers=answers,
        figures=figures(study),
        tables=[*tables, runs_table(study)],
    )


def _about(study: Study) -> str:
    began = min(run.started_at for run in study.runs)
    latest = max(run.started_at for run in study.runs)
    parts = [f"Project {study.project}", wording.count(len(study.runs), "run")]
    if study.points:
        parts.append(wording.count(len(study.points), "configuration"))
        parts.append(f"baseline {baseline_of(study)}")
    days = [wording.day(began.date()), wording.day(latest.date())]
    parts.append(days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}")
    return " · ".join(parts)
