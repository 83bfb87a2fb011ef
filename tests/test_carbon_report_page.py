"""The page of a report in a real browser: opened from disk, offline, and its race played."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from carbon.report.content import content_of
from carbon.report.page import html_page
from carbon.report.study import Asked, analyse
from tests import studies
from tests.fixtures.browser import TIMEOUT_MS, Watch

DRAWN = "!document.querySelector('figure:not([data-drawn])')"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = analyse("studies", "scaling", studies.virgo(), Asked(target=0.9))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html_page(content_of(study)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without a network."""
    with browser.new_context(viewport={"width": 1400, "height": 900}, offline=True) as context:
        context.set_default_timeout(TIMEOUT_MS)
        yield context


def opened(page: Page, path: Path) -> Page:
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN)
    return page


def in_steps(page: Page, path: Path) -> None:
    """Open the page with its clock standing still, so that a busy machine does not matter."""
    page.clock.install(time=0)
    page.goto(path.as_uri())
    page.clock.pause_at(3_600_000)


def finished(page: Page) -> int:
    return page.locator("#race-plot .done").count()


def test_the_page_is_whole_without_a_network(page: Page, watch: Watch, path: Path) -> None:
    opened(page, path)
    figures = page.locator("figure").count()
    assert figures >= 10
    assert page.locator("figure .chart svg.marks").count() == figures
    assert watch.complaints == []
    assert watch.requests_elsewhere == [path.as_uri()]
    assert page.locator("figure a[href^='http']").count() == 0
    expect(page.locator("h1")).to_have_text("scaling")
    assert page.locator("#table-configurations tbody tr").count() == 12


@pytest.mark.parametrize("width", [700, 360])
def test_nothing_is_wider_than_the_page(page: Page, path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, path)
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    svg = page.locator("#race-plot svg")
    box, place = svg.bounding_box(), page.locator("#race-plot").bounding_box()
    assert box is not None
    assert place is not None
    assert box["width"] <= place["width"]


def test_no_two_texts_of_a_chart_overlap(page: Page, path: Path) -> None:
    opened(page, path)
    overlapping = page.evaluate(
        """() => [...document.querySelectorAll('.chart svg, #race-plot svg')].flatMap((svg) => {
          const boxes = [...svg.querySelectorAll('text')]
            .filter((t) => t.textContent.trim() && getComputedStyle(t).opacity !== '0')
            .map((t) => [t.textContent, t.getBoundingClientRect()]);
          return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
            .filter(([, q]) => p.left + 1 < q.right && q.left + 1 < p.right
              && p.top + 2 < q.bottom && q.top + 2 < p.bottom)
            .map(([b]) => [svg.closest('[id]').id, a, b]));
        })"""
    )
    assert overlapping == []


def test_the_race_plays_to_its_end_and_pauses(page: Page, watch: Watch, path: Path) -> None:
    page.goto(path.as_uri())
    lanes = page.locator("#race-plot .lane").count()
    assert finished(page) == lanes > 12, "the whole race is there before it is played"
    page.select_option("#race-speed", "0.5")
    play = page.locator("#race-play")
    play.click()
    expect(play).to_have_text("Pause")
    page.wait_for_function("Number(document.getElementById('race-moment').value) > 10")
    assert finished(page) < lanes
    play.click()
    expect(play).to_have_text("Play")
    at = page.locator("#race-moment").input_value()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.locator("#race-moment").input_value() == at
    page.select_option("#race-speed", "4")
    play.click()
    expect(play).to_have_text("Play")
    assert finished(page) == lanes
    assert watch.complaints == []


def test_a_higher_speed_is_as_many_times_as_fast(page: Page, path: Path) -> None:
    in_steps(page, path)
    moments = {}
    for speed in ("1", "4"):
        page.locator("#race-moment").fill("0")
        page.select_option("#race-speed", speed)
        page.locator("#race-play").click()
        page.clock.run_for(1000)
        page.locator("#race-play").click()
        moments[speed] = int(page.locator("#race-moment").input_value())
    assert moments["4"] == pytest.approx(4 * moments["1"], rel=0.1)
    assert moments["1"] == pytest.approx(100, abs=10), "a tenth of it in a second"


def test_the_race_is_played_by_keyboard(page: Page, path: Path) -> None:
    page.goto(path.as_uri())
    lanes = page.locator("#race-plot .lane").count()
    page.locator("#race-moment").focus()
    page.keyboard.press("Home")
    assert finished(page) == 0
    clock = page.locator("#race-clock").text_content() or ""
    assert f"0 of {lanes} finished" in clock
    assert page.locator("#race-moment").get_attribute("aria-valuetext") == clock
    page.keyboard.press("End")
    assert finished(page) == lanes
    page.locator("#race-play").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#race-play")).to_have_attribute("aria-pressed", "true")


def test_measured_and_extrapolated_lanes_differ(page: Page, path: Path) -> None:
    page.goto(path.as_uri())
    dashed = page.locator("#race-plot .bar[stroke-dasharray]")
    told = page.locator("#race-plot .result", has_text="≈").count()
    assert dashed.count() == told > 0
    assert page.locator("#race-plot .bar").count() == 2 * 12 + told, "warm-up and the rest"
    box, controls = (
        page.locator(selector).bounding_box() for selector in ("#race-plot", ".controls")
    )
    assert box is not None
    assert controls is not None
    assert controls["y"] + controls["height"] <= box["y"], "no control covers the plot"


def test_who_wants_no_motion_sees_steps(page: Page, path: Path) -> None:
    page.emulate_media(reduced_motion="reduce")
    in_steps(page, path)
    page.locator("#race-moment").fill("0")
    page.locator("#race-play").click()
    page.clock.run_for(400)
    assert page.locator("#race-moment").input_value() == "0"
    page.clock.run_for(200)
    assert int(page.locator("#race-moment").input_value()) >= 50
