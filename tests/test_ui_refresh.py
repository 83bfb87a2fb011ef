"""A page that stays open while a run goes on follows it."""

from datetime import UTC, datetime

from playwright.sync_api import Page, expect

from carbon.rest.client import Client
from carbon.schema import EpochReport, RunReport
from tests.factories import make_report
from tests.fixtures.api import LiveApi
from tests.fixtures.browser import Watch, open_page


def going_on(seq: int, energy_kwh: float, first: RunReport | None = None) -> RunReport:
    fields = {} if first is None else {"run_id": first.run_id}
    return make_report(
        **fields,
        name="mine",
        started_at=datetime(2026, 3, 1, 13, tzinfo=UTC),
        seq=seq,
        status="running",
        ended_at=None,
        live_interval_s=3600,
        cpu_energy_kwh=energy_kwh,
        ram_energy_kwh=None,
        epochs=[EpochReport(index=i, duration_s=20.0, energy_kwh=1.0) for i in range(seq)],
    )


def shows(page: Page, figure: str, energy_kwh: float) -> None:
    value = page.locator(f"[data-figure={figure}] data")
    expect(value).to_have_attribute("value", repr(energy_kwh))


def test_figures_of_a_running_run_grow_and_its_end_is_seen(
    live_api: LiveApi, live_ui: str, page: Page, watch: Watch
) -> None:
    with Client(live_api.settings) as client:
        first = going_on(1, 1.0)
        client.put_run(first)
        open_page(page, f"{live_ui}/?project=digits")
        status = page.locator(".st-key-run-details .cl-status")
        expect(status).to_have_text("running")
        expect(page.get_by_text("so far: the run goes on").first).to_be_visible()
        expect(page.get_by_text("1 run is running now")).to_be_visible()
        shows(page, "energy", 1.0)
        sources = page.locator("details.cl-details")
        sources.locator("summary").click()
        client.put_run(going_on(2, 2.0, first))
        shows(page, "energy", 2.0)
        shows(page, "run-energy", 2.0)
        # Nothing on the page contradicts the new figures.
        expect(page.locator("[data-table=nodes]")).to_contain_text("2 kWh")
        expect(page.get_by_text("2 epochs", exact=True)).to_be_visible()
        (km,) = [e for e in client.summary("digits").equivalents if e.key == "car_km"]
        shows(page, "equivalent-car_km", km.amount)
        expect(sources).to_have_attribute("open", "")
        expect(page.get_by_text("Its series arrive with the run's end.")).to_be_visible()
        client.put_run(make_report(run_id=first.run_id, seq=3, status="interrupted", name="mine"))
        expect(status).to_have_text("interrupted")
        shows(page, "run-energy", 0.003)
        expect(page.get_by_text("One run, interrupted")).to_be_visible()
        expect(page.get_by_text("running now")).to_have_count(0)
        expect(page.locator(".st-key-series code").last).to_have_text("carbon sync")
    assert watch.complaints == []


def test_the_overview_follows_too(live_api: LiveApi, live_ui: str, page: Page) -> None:
    with Client(live_api.settings) as client:
        first = going_on(1, 1.0)
        client.put_run(first)
        open_page(page, live_ui)
        shows(page, "energy", 1.0)
        client.put_run(going_on(2, 2.5, first))
        shows(page, "energy", 2.5)
        for table in ("projects", "places"):
            row = page.locator(f"[data-table={table}]")
            expect(row).to_contain_text("2.50 kWh")


def test_charts_and_places_follow_in_place_and_can_be_used_meanwhile(
    live_api: LiveApi, live_ui: str, page: Page, watch: Watch
) -> None:
    with Client(live_api.settings) as client:
        before = make_report(name="before", cpu_energy_kwh=3.0, ram_energy_kwh=None)
        first = going_on(1, 2.0)
        for report in (before, first):
            client.put_run(report)
        page.set_viewport_size({"width": 1400, "height": 6000})
        open_page(page, f"{live_ui}/?project=digits")
        points = page.locator(".st-key-timeline svg.marks .mark-symbol path")
        expect(points).to_have_count(2)
        bars = page.locator(".st-key-runs svg.marks .mark-rect path")
        expect(bars).to_have_count(2)
        expect(page.locator(".st-key-world svg.marks")).to_be_visible()
        # An element that is drawn anew would flicker, and lose this.
        page.evaluate("for (const chart of document.querySelectorAll('svg.marks')) chart.seen = 1")
        drawn = bars.last.get_attribute("d")
        client.put_run(going_on(2, 2.8, first))
        places = page.locator("[data-table=places]")
        expect(places).to_contain_text("5.80 kWh")
        expect(bars.last).not_to_have_attribute("d", drawn or "")
        for section in ("timeline", "runs", "world"):
            assert page.locator(f".st-key-{section} svg.marks").evaluate("chart => chart.seen")
        page.locator(".st-key-elsewhere").get_by_text("Countries", exact=True).click()
        verdict = page.locator(".st-key-elsewhere .cl-verdict")
        expect(verdict).to_contain_text("countries it has the cleanest")
        facts = page.locator(".st-key-run-facts")
        expect(facts).to_contain_text(str(first.run_id))
        bars.first.click()
        expect(facts).to_contain_text(str(before.run_id))
        expect(page.locator(".st-key-run-details .cl-status")).to_have_text("completed")
        assert watch.complaints == []
