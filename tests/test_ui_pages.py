"""The pages in a real browser on a real API: figures, addresses, odd names, a phone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Literal
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from carbon import wording
from carbon.rest.client import Client
from carbon.schema import BudgetTerms, PriceTerms, RunReport, Totals
from carbon.units import emissions_kg
from tests.factories import make_report
from tests.fixtures.api import LiveApi, serving
from tests.fixtures.browser import Kept, Watch, open_page, settled, showing
from tests.reports import ODD_NAME, ODD_RUN, START, other_projects, recorded_run, scaling_study
from ui import data, frames

MANY = data.RUNS_AT_MOST + 5
DAY = timedelta(days=1)
PHONE: ViewportSize = {"width": 390, "height": 844}


@dataclass(frozen=True)
class Ledger:
    """A dashboard, and a client of the API it reads."""

    url: str
    client: Client

    def view(self, **query: str) -> str:
        """The address of a view."""
        return f"{self.url}/?{urlencode(query)}"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """The dashboard on a ledger of six projects, for all tests that only look."""
    with serving(tmp_path_factory.mktemp("ledger")) as api, Client(api.settings) as client:
        for report in (*scaling_study(), *other_projects(MANY), recorded_run(), *contracted()):
            client.put_run(report)
        days = {"period": "dates", "from_day": START.date(), "until_day": START.date() + DAY}
        for project, name, limit in (("scaling", "a-month", 0.5), (ODD_NAME, "b" * 100, 1e6)):
            terms = {"quantity": "energy_kwh", "limit": limit} | days
            client.accounting.put_budget(project, name, BudgetTerms.model_validate(terms))
        price = PriceTerms(price_per_kwh=0.5, currency="EUR")
        client.accounting.put_price(START.date(), price, "scaling")
        with showing(api.url) as url:
            yield Ledger(url, client)


def contracted() -> list[RunReport]:
    """Two runs at one place, of which one knows what its electricity was bought as."""
    other = make_report(project="contracted", started_at=START, gpu_energy_kwh=1.0)
    energy_kwh = other.energy_kwh or 0.0
    bought = make_report(
        project="contracted",
        started_at=START,
        gpu_energy_kwh=1.0,
        market_intensity_g_per_kwh=25.0,
        market_source="a wind park",
        market_emissions_kg=emissions_kg(energy_kwh, other.pue, 25.0),
    )
    return [bought, other]


def figure(page: Page, key: str) -> str:
    """The exact value of a figure on the page."""
    value = page.locator(f"[data-figure={key}] data").get_attribute("value")
    assert value is not None
    return value


def pick(page: Page, label: str, option: str) -> None:
    """Choose an option of a selector. By key, as its list closes when the page scrolls to it."""
    selector = page.get_by_role("combobox", name=label)
    selector.focus()
    selector.press("ArrowDown")
    page.get_by_role("option", name=option).click()


def check_totals(page: Page, totals: Totals) -> None:
    """Compare the figures on the page with the API's, to the last digit and as they are written."""
    assert totals.energy_kwh is not None
    assert float(figure(page, "energy")) == totals.energy_kwh
    assert float(figure(page, "emissions")) == totals.emissions_kg
    assert int(figure(page, "runs")) == totals.runs
    energy = page.locator("[data-figure=energy]")
    expect(energy).to_contain_text(wording.energy(totals.energy_kwh))
    expect(energy).to_contain_text(
        wording.energy_band(totals.energy_kwh, totals.energy_uncertainty)
    )
    expect(page.locator("[data-figure=emissions]")).to_contain_text(
        wording.mass_band(totals.emissions_kg, totals.emissions_uncertainty)
    )


def test_the_overview_shows_what_the_api_says(ledger: Ledger, kept: Kept) -> None:
    summary = ledger.client.summary()
    page = kept.at(ledger.url)
    expect(page.locator("h1")).to_have_text("Measure Compute Emissions")
    check_totals(page, summary)
    shown = page.locator("[data-table=projects] tbody tr")
    projects = ledger.client.projects()
    assert shown.count() == len(projects) == 6
    for row, project in zip(shown.all(), projects, strict=True):
        expect(row).to_contain_text(project.project)
        expect(row).to_contain_text(wording.energy(project.energy_kwh))
        expect(row).to_contain_text(wording.mass(project.emissions_kg))
        band = wording.energy_band(project.energy_kwh, project.energy_uncertainty)
        assert ("±" in row.inner_text()) == bool(band)
        expect(row).to_contain_text(band)
        expect(row).to_contain_text(
            wording.mass_band(project.emissions_kg, project.emissions_uncertainty)
        )
    for equivalent in summary.equivalents:
        card = page.locator(f"[data-figure=equivalent-{equivalent.key}]")
        expect(card).to_contain_text(f"{equivalent.text}{equivalent.label}")
        expect(card).to_contain_text(f"± {equivalent.uncertainty_text}")
    hosted = page.locator("[data-table=places]")
    for place in ("Germany", "France", "An unknown place"):
        expect(hosted).to_contain_text(place)


def test_a_project_shows_what_the_api_says(ledger: Ledger, kept: Kept) -> None:
    summary = ledger.client.summary("scaling")
    last = summary.last_run
    assert last is not None
    page = kept.at(ledger.view(project="scaling"))
    totals = page.locator(".st-key-totals")
    check_totals(page, summary)
    expect(totals).to_contain_text("All 6 runs")
    expect(totals).to_contain_text("Last run, completed")
    assert float(figure(page, "last-run-energy")) == last.energy_kwh
    assert float(figure(page, "last-run-duration")) == last.duration_s
    assert figure(page, "last-run-emissions") == ""
    expect(page.locator("[data-figure=last-run-emissions]")).to_contain_text(
        "unknown, as its place is: set CARBON_COUNTRY_ISO_CODE"
    )
    expect(page.get_by_text("Infrastructure hosted in")).to_contain_text("France; Germany")
    places = page.locator("[data-table=places] tbody tr")
    for row, place in zip(places.all(), summary.places, strict=True):
        expect(row).to_contain_text(wording.intensity(place.intensity_g_per_kwh))
        if place.intensity_year:
            expect(row).to_contain_text(str(place.intensity_year))


def test_a_project_shows_its_budgets_and_what_it_cost(ledger: Ledger, kept: Kept) -> None:
    (budget,) = ledger.client.accounting.budgets("scaling", on=START.date())
    assert budget.spent is not None
    page = kept.at(ledger.view(project="scaling"))
    row = page.locator("[data-table=budgets] tbody tr")
    expect(row).to_contain_text("a-month")
    expect(row).to_contain_text(wording.energy(budget.spent))
    expect(row).to_contain_text(wording.percent(budget.share))
    expect(row.locator(".cl-status")).to_have_text("crossed")
    (cost,) = ledger.client.summary("scaling").costs
    expect(page.locator(".st-key-totals")).to_contain_text(
        f"{wording.money(cost.cost, 'EUR')} for electricity, with PUE"
    )
    page = kept.at(ledger.view(project="unmeasured"))
    expect(page.locator(".cl-project")).to_have_text("unmeasured")
    expect(page.locator("[data-table=budgets]")).to_have_count(0)


def test_a_run_shows_its_bands_and_the_part_above_idle(ledger: Ledger, kept: Kept) -> None:
    runs = ledger.client.runs(project="scaling").items
    idle = next(run for run in runs if run.idle_energy_kwh is not None)
    page = kept.at(ledger.view(project="scaling", run=str(idle.run_id)))
    details = page.locator(".st-key-run-details")
    energy = details.locator("[data-figure=run-energy]")
    expect(energy).to_contain_text(wording.energy_band(idle.energy_kwh, idle.energy_uncertainty))
    above = wording.energy((idle.energy_kwh or 0.0) - (idle.idle_energy_kwh or 0.0))
    expect(energy).to_contain_text(f"{above} of it above idle")
    expect(details.locator("[data-figure=run-emissions]")).to_contain_text(
        wording.mass_band(idle.emissions_kg, idle.energy_uncertainty)
    )
    expect(page.locator(".st-key-run-facts")).to_contain_text(f"{above} of ")
    expect(details.locator("[data-table=nodes]")).to_contain_text(above)
    # The project's other runs know nothing of it, so its total says nothing either.
    expect(page.locator(".st-key-totals [data-figure=energy]")).not_to_contain_text("above idle")
    other = next(run for run in runs if run.idle_energy_kwh is None)
    page = kept.at(ledger.view(project="scaling", run=str(other.run_id)))
    expect(page.locator(".st-key-run-facts")).to_contain_text("run carbon baseline there")
    expect(page.locator("[data-figure=run-energy]")).not_to_contain_text("above idle")


def test_market_based_figures_stand_beside_the_others(ledger: Ledger, page: Page) -> None:
    """Of the runs that say what their electricity was bought as; the others say nothing of it."""
    total = ledger.client.summary("contracted")
    runs = ledger.client.runs(project="contracted").items
    (bought,) = (run for run in runs if run.market_emissions_kg is not None)
    (other,) = (run for run in runs if run.market_emissions_kg is None)
    open_page(page, ledger.view(project="contracted", run=str(bought.run_id)))
    market = f"{wording.mass(bought.market_emissions_kg)} market-based"
    expect(page.locator(".st-key-totals [data-figure=emissions]")).to_contain_text(
        f"{market}; of 1 of 2 runs"
    )
    details = page.locator(".st-key-run-details [data-figure=run-emissions]")
    at = f"{wording.intensity(bought.market_intensity_g_per_kwh)} (a wind park)"
    expect(details).to_contain_text(f"{market}, at {at}")
    assert float(figure(page, "run-emissions")) == bought.emissions_kg != bought.market_emissions_kg
    expect(page.locator(".st-key-run-facts")).to_contain_text(f"Market-based intensity{at}")
    assert total.market_emissions_kg == bought.market_emissions_kg
    open_page(page, ledger.view(project="contracted", run=str(other.run_id)))
    expect(details).not_to_contain_text("market-based")
    expect(page.locator(".st-key-run-facts")).not_to_contain_text("Market-based")


def test_a_total_of_runs_that_all_know_it_shows_the_part_above_idle(
    ledger: Ledger, kept: Kept
) -> None:
    total = ledger.client.summary(ODD_NAME)
    page = kept.at(ledger.view(project=ODD_NAME))
    above = wording.energy((total.energy_kwh or 0.0) - (total.idle_energy_kwh or 0.0))
    expect(page.locator("[data-figure=energy]")).to_contain_text(f"{above} of it above idle")


def test_what_a_speedup_cost_is_drawn_and_said(ledger: Ledger, kept: Kept) -> None:
    points = [p for p in ledger.client.tradeoff("scaling").points if p.study == "scaling-1"]
    page = kept.at(ledger.view(project="scaling", study="scaling-1"))
    section = page.locator(".st-key-speedup")
    labels = section.locator("svg.marks text")
    for point in points:
        name = wording.configuration(point.strategy, point.workers)
        expect(labels.filter(has_text=re.compile(f"^{name}$")).first).to_be_visible()
        row = section.locator("[data-table=tradeoff] tr").filter(has_text=name)
        expect(row).to_contain_text("2 runs")
        expect(row).to_contain_text("±")
    expect(section.locator(".cl-verdict")).to_contain_text("as fast as single × 1")
    expect(section.locator(".cl-warning")).to_contain_text("The runs of scaling-1 differ in place,")


def test_what_the_hardware_did_is_shown_on_request(ledger: Ledger, page: Page) -> None:
    open_page(page, ledger.view(project="scaling", study="scaling-1"))
    page.get_by_text("Where the time went").click()
    row = page.locator("[data-table=hardware] tr").filter(has_text="ddp × 2")
    expect(row.locator("[data-column='Throughput (samples/s)']")).to_contain_text("591")


def test_the_best_configuration_follows_from_what_a_training_may_take(
    ledger: Ledger, page: Page
) -> None:
    open_page(page, ledger.view(project="scaling", study="scaling-1"))
    answer = page.locator(".st-key-best .cl-verdict")
    expect(answer).to_contain_text("no limit being set")
    deadline = page.get_by_label("Deadline in hours")
    deadline.fill("0.3")
    deadline.press("Enter")
    expect(answer).to_contain_text("ddp on 2 workers: the one that fits")
    deadline.fill("0.01")
    deadline.press("Enter")
    expect(page.locator(".st-key-best .cl-warning")).to_contain_text("No configuration fits")


def test_a_single_run_is_not_shown_a_second_time_as_the_last(ledger: Ledger, kept: Kept) -> None:
    page = kept.at(ledger.view(project=ODD_NAME))
    expect(page.locator(".st-key-totals")).to_contain_text("One run, completed")
    expect(page.locator("[data-figure=equivalent-car_km]")).to_be_visible()
    expect(page.locator("[data-figure=last-run-energy]")).to_have_count(0)
    expect(page.get_by_text("last run: ")).to_have_count(0)
    page = kept.at(ledger.view(project="scaling", study="scaling-1"))
    expect(page.locator("[data-figure=last-run-energy]")).to_have_count(1)


def test_clearing_the_selector_returns_to_all_projects(ledger: Ledger, page: Page) -> None:
    open_page(page, ledger.url)
    page.get_by_role("link", name="scaling", exact=True).click()
    expect(page.locator(".cl-project")).to_have_text("scaling")
    settled(page)
    page.locator(".st-key-project-selector").get_by_label("Clear value").click()
    expect(page.locator("[data-table=projects]")).to_be_visible()
    expect(page.locator(".cl-project")).to_have_count(0)
    assert "project" not in page.url


def test_a_project_can_be_picked_in_the_selector(ledger: Ledger, page: Page) -> None:
    open_page(page, ledger.url)
    pick(page, "Project", "unmeasured")
    expect(page.locator(".cl-project")).to_have_text("unmeasured")
    assert page.url == ledger.view(project="unmeasured")


def test_a_shared_address_opens_the_same_view(ledger: Ledger, page: Page) -> None:
    failed = ledger.client.runs(project="scaling", status="failed").items[0]
    run_id = str(failed.run_id)
    view = ledger.view(project="scaling", study="other-study", run=run_id, map="wind")
    open_page(page, view)
    expect(page.locator(".st-key-speedup")).to_contain_text("Only single × 1")
    expect(page.locator(".st-key-run-details .cl-status")).to_have_text("failed")
    expect(page.locator(".st-key-run-facts")).to_contain_text(run_id)
    expect(page.get_by_role("combobox", name="Colour by")).to_have_value(
        "Energy mix: share of wind"
    )
    assert page.url == view


def test_a_click_on_a_bar_opens_its_run_and_is_kept_in_the_address(
    ledger: Ledger, page: Page
) -> None:
    open_page(page, ledger.view(project="scaling"))
    bars = page.locator(".st-key-runs svg.marks .mark-rect path")
    expect(bars.first).to_be_visible()
    bars.first.click()
    page.wait_for_url(re.compile("run="))
    chosen = re.sub(".*run=", "", page.url)
    expect(page.locator(".st-key-run-facts")).to_contain_text(chosen)
    settled(page)
    assert chosen in {str(run.run_id) for run in ledger.client.runs(project="scaling").items}
    # Another project has other runs.
    pick(page, "Project", "unmeasured")
    expect(page.locator(".cl-project")).to_have_text("unmeasured")
    settled(page)
    assert "run=" not in page.url
    expect(page.locator(".cl-warning")).to_have_count(0)


def test_names_are_shown_as_they_are_written(ledger: Ledger, page: Page, watch: Watch) -> None:
    open_page(page, ledger.url)
    link = page.get_by_role("link", name=ODD_NAME)
    expect(link).to_be_visible()
    link.click()
    expect(page.locator(".cl-project")).to_have_text(ODD_NAME)
    settled(page)
    details = page.locator(".st-key-run-details")
    expect(details.locator(".cl-status-line strong")).to_have_text(ODD_RUN)
    expect(page.locator(".st-key-run-facts")).to_contain_text("<u>k</u>")
    assert page.locator(".stHtml b, .stHtml i, .stHtml u, .stHtml img").count() == 0
    assert page.title() == f"{ODD_NAME} · Carbon Ledger"
    assert watch.complaints == []


@pytest.mark.parametrize("project", [None, "scaling", ODD_NAME, "unmeasured", "many", "recorded"])
def test_nothing_is_fetched_from_elsewhere_and_nothing_complains(
    ledger: Ledger, kept: Kept, project: str | None
) -> None:
    url = ledger.view(project=project) if project else ledger.url
    page, watch = kept.at(url), kept.watches[url]
    # Charts are drawn when they come into view.
    for chart in page.locator("[data-testid=stVegaLiteChart]").all():
        chart.scroll_into_view_if_needed()
        expect(chart.locator("svg.marks")).to_be_visible()
    words = page.locator("[data-testid=stMain]").inner_text()
    assert not re.search(r"\b(nan|NaN|None|undefined|null|0\.0+ )\b", words)
    for name in ("How these numbers are made", "Raw data", "Raw report"):
        for summary in page.get_by_text(name, exact=True).all():
            summary.click()
            expect(page.locator("details[open]").last).to_be_visible()
    settled(page)
    assert watch.requests_elsewhere == []
    assert watch.complaints == []


def test_what_is_raw_is_made_once_it_is_unfolded(ledger: Ledger, page: Page) -> None:
    open_page(page, ledger.view(project="scaling"))
    report = page.locator("[data-testid=stCode]").filter(has_text='"run_id":')
    table = page.locator("[data-testid=stDataFrame]")
    expect(report).to_have_count(0)
    expect(table).to_have_count(0)
    page.get_by_text("Raw report", exact=True).click()
    expect(report).to_be_visible()
    expect(page.get_by_role("button", name="Download as JSON")).to_be_visible()
    page.get_by_text("Raw data", exact=True).click()
    expect(table).to_be_visible()
    # Another run's, without unfolding it again.
    other = ledger.client.runs(project="scaling", status="failed").items[0]
    pick(page, "Run", frames.run_label(other))
    expect(report).to_contain_text(str(other.run_id))


def test_the_map_colours_countries_and_outlines_the_own_ones(ledger: Ledger, page: Page) -> None:
    open_page(page, ledger.view(project="scaling"))
    chart = page.locator(".st-key-world [data-testid=stVegaLiteChart]")
    chart.scroll_into_view_if_needed()
    expect(chart.locator("svg.marks")).to_be_visible()
    layers = [layer.locator("path").count() for layer in chart.locator("g.mark-shape").all()]
    assert layers[0] == 176
    assert layers[1] > 165
    assert layers[2] == 2
    pick(page, "Colour by", "Energy mix: share of coal")
    expect(chart).to_contain_text("Coal, % of generation")


@pytest.mark.parametrize("width", [390, 1400])
def test_the_map_is_as_large_as_the_page_lets_it(ledger: Ledger, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, ledger.view(project="scaling"))
    chart = page.locator(".st-key-world [data-testid=stVegaLiteChart]")
    chart.scroll_into_view_if_needed()
    expect(chart.locator("svg.marks")).to_be_visible()
    there, land = chart.bounding_box(), chart.locator("g.mark-shape").first.bounding_box()
    assert there is not None
    assert land is not None
    assert land["width"] > 0.8 * there["width"]
    assert land["height"] > 0.55 * there["height"]


def test_who_cannot_see_a_chart_is_told_what_it_is(ledger: Ledger, kept: Kept) -> None:
    page = kept.at(ledger.view(project="recorded"))
    told = [
        chart.get_attribute("aria-label")
        for chart in page.locator("[data-testid=stVegaLiteChart]").all()
    ]
    assert len(told) > 8
    assert all(told), told
    assert {"Power over time", "World map by Carbon intensity"} <= set(told)
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels


def test_a_region_is_recommended(ledger: Ledger, page: Page) -> None:
    open_page(page, ledger.view(project="scaling"))
    section = page.locator(".st-key-elsewhere")
    expect(section.locator(".cl-verdict")).to_contain_text(
        "For the energy whose place is known, the recommendation is "
    )
    expect(section.locator(".cl-verdict")).to_contain_text("% less")
    expect(section).to_contain_text("annual averages of each grid, location-based")
    section.get_by_text("Countries", exact=True).click()
    expect(section.locator(".cl-verdict")).to_contain_text("countries it has the cleanest grid")
    assert "elsewhere_in=Countries" in page.url


def test_of_many_runs_the_newest_are_shown_and_the_rest_is_said(ledger: Ledger, kept: Kept) -> None:
    page = kept.at(ledger.view(project="many"))
    expect(page.locator(".st-key-timeline")).to_contain_text(
        f"The newest {data.RUNS_AT_MOST} of {MANY} runs"
    )
    oldest = ledger.client.runs(project="many", limit=MANY).items[-1]
    page = kept.at(ledger.view(project="many", run=str(oldest.run_id)))
    expect(page.locator(".st-key-run-facts")).to_contain_text(str(oldest.run_id))


def test_what_a_run_recorded_over_time_is_drawn(ledger: Ledger, kept: Kept) -> None:
    page = kept.at(ledger.view(project="recorded"))
    section = page.locator(".st-key-series")
    for title in ("Power (W)", "Memory in use (GiB)", "Temperature (°C)", "Network (MB/s)"):
        chart = section.locator("[data-testid=stVegaLiteChart]").filter(has_text=title)
        chart.scroll_into_view_if_needed()
        expect(chart.locator("svg.marks")).to_be_visible()
    # Few devices are told of at once.
    expect(page.locator("[data-table=devices]")).to_be_visible()
    page = kept.at(ledger.view(project="unmeasured"))
    expect(page.locator(".st-key-series")).to_contain_text("Nothing was recorded over time.")
    expect(page.locator(".st-key-series code")).to_have_text("CARBON_SERIES=all")


def test_many_devices_stay_folded_until_they_are_asked_for(
    live_api: LiveApi, live_ui: str, page: Page
) -> None:
    with Client(live_api.settings) as client:
        client.put_run(recorded_run(gpus=16, points=2))
    open_page(page, f"{live_ui}/?project=recorded")
    devices = page.locator("[data-table=devices]")
    expect(devices).not_to_be_visible()
    page.get_by_text("16 devices", exact=True).click()
    expect(devices).to_be_visible()
    expect(devices.locator("tbody tr")).to_have_count(16)


def test_amounts_too_small_to_tell_have_no_band(ledger: Ledger, kept: Kept) -> None:
    page = kept.at(ledger.view(project="many"))
    card = page.locator("[data-figure=equivalent-car_km]")
    expect(card).to_contain_text("last run: less than 1 cm")
    expect(card).not_to_contain_text("±")
    expect(page.locator("[data-figure=equivalent-smartphone_charges]")).to_contain_text("±")


@pytest.mark.parametrize(
    "query",
    [{"project": "no such project"}, {"project": "scaling", "run": "no-such-run"}],
    ids=["project", "run"],
)
def test_an_address_that_names_nothing_says_so(
    ledger: Ledger, kept: Kept, query: dict[str, str]
) -> None:
    page = kept.at(ledger.view(**query))
    warning = page.locator(".cl-warning").filter(has_text=list(query.values())[-1])
    expect(warning).to_be_visible()


@pytest.mark.parametrize(
    ("project", "scheme"),
    [
        (None, "dark"),
        ("scaling", "light"),
        (ODD_NAME, "dark"),
        ("unmeasured", "light"),
        ("recorded", "dark"),
    ],
)
def test_a_phone_never_scrolls_sideways(
    ledger: Ledger, page: Page, project: str | None, scheme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=scheme)
    open_page(page, ledger.view(project=project) if project else ledger.url)
    for chart in page.locator("[data-testid=stVegaLiteChart]").all():
        chart.scroll_into_view_if_needed()
        expect(chart.locator("svg.marks")).to_be_visible()
    width = page.evaluate(
        "Math.max(...Array.from(document.querySelectorAll('.stApp, .stMain *'),"
        " element => element.getBoundingClientRect().right))"
    )
    assert width <= PHONE["width"]
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    lightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert lightness > 600 if scheme == "light" else lightness < 150


def test_an_escaped_address_is_what_the_selector_makes(ledger: Ledger, page: Page) -> None:
    open_page(page, f"{ledger.url}/?project={quote(ODD_NAME)}")
    expect(page.locator(".cl-project")).to_have_text(ODD_NAME)
