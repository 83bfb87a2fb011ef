"""What a study came to: the ledger's reports where it has them, else the spool's."""

import io

from rich.console import Console

from carbon.attribution.run_id import new_run_id
from carbon.rest.client import Client
from carbon.schema import RunReport
from carbon.settings import Settings
from carbon.spool.spool import Spool
from carbon.study.folder import Attempt, History
from carbon.study.plan import configurations, plan
from carbon.study.results import in_spool, reports_of, table
from carbon.tracking.tracker import track
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.fixtures.studies import make_study
from tests.fixtures.tracking import steady_sources

SPEC = make_study(project="digits", strategies=["single", "ray-deepspeed"], repeats=2)


def delivered(spool: Spool, report: RunReport) -> None:
    """Keep a report as a run that the API has taken."""
    folder = spool.directory / "delivered" / str(report.run_id)
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(report.model_dump_json())


def test_without_the_ledger_the_spool_tells(settings: Settings) -> None:
    spool = Spool(settings.spool_dir)
    with track("p", settings=settings, sources=steady_sources()) as run:
        pass
    sent = make_report()
    delivered(spool, sent)
    found = reports_of([run.report.run_id, sent.run_id, new_run_id()], settings)
    assert list(found) == [run.report.run_id, sent.run_id]
    assert found[run.report.run_id].status == "completed"
    assert found[sent.run_id] == sent


def test_what_the_ledger_has_wins_and_what_is_on_its_way_is_the_spools(live_api: LiveApi) -> None:
    settings = live_api.settings
    corrected, on_its_way = make_report(name="corrected"), make_report()
    spool = Spool(settings.spool_dir)
    for report in (corrected.model_copy(update={"name": "as sent"}), on_its_way):
        delivered(spool, report)
    with Client(settings) as client:
        client.put_run(corrected)
    found = reports_of([corrected.run_id, on_its_way.run_id], settings)
    assert found[corrected.run_id].name == "corrected"
    assert found[on_its_way.run_id] == on_its_way
    assert in_spool(spool, new_run_id()) is None


def history(*statuses: str) -> History:
    told = History(planned=plan(SPEC))
    ordered = sorted(told.planned, key=lambda run: run.key)
    for run, status in zip(ordered, statuses, strict=False):
        attempt = Attempt(new_run_id(), make_report().started_at, duration_s=60.0)
        attempt.status = status  # type: ignore[assignment]
        told.attempts[run] = [attempt]
    return told


def lines(told: History, reports: list[RunReport], width: int = 80) -> list[str]:
    out = io.StringIO()
    by_id = {report.run_id: report for report in reports}
    Console(file=out, width=width).print(table(SPEC, configurations(SPEC), told, by_id))
    return out.getvalue().splitlines()


def test_a_line_for_each_configuration_fits_a_terminal() -> None:
    told = history("completed", "completed", "failed", "interrupted", "completed")
    ordered = sorted(told.planned, key=lambda run: run.key)
    reports = [
        make_report(
            run_id=told.last(run).run_id,
            study="s",
            strategy=run.configuration.strategy,
            world_size=run.configuration.workers,
            cpu_energy_kwh=0.001 * number,
        )
        for number, run in enumerate(ordered[:5], 1)
        if told.status(run) == "completed"
    ]
    rows = [line.split() for line in lines(told, reports)]
    assert ["single", "1", "1/2", "0", "60", "20", "6", "Wh"] in rows
    assert ["ray-deepspeed", "1", "2/2", "0", "60", "±", "0", "20", "±", "0", "2.50", "Wh"] in rows
    assert ["ray-deepspeed", "2", "0/2", "1", *["unknown"] * 3] in rows
    assert not any("…" in line for line in lines(told, reports))


def test_runs_without_epochs_have_no_column_of_them() -> None:
    told = history("completed")
    run = min(told.planned, key=lambda run: run.key)
    whole = make_report(
        run_id=told.last(run).run_id, study="s", strategy=run.configuration.strategy, epochs=[]
    )
    assert not any("epoch" in line for line in lines(told, [whole]))
    assert any("epoch" in line for line in lines(told, []))
