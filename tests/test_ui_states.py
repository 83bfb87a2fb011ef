"""What the dashboard says where it has nothing to show, or cannot start."""

import socket
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from carbon.rest.client import Client
from tests.factories import make_report
from tests.fixtures.api import LiveApi, clean_environment, serving
from tests.fixtures.browser import ROOT, Watch, open_page, showing
from tests.fixtures.tracking import closed_port
from tests.patience import PATIENCE_S

KEY = "a-key-for-this-test-only-0123456789"


def test_an_empty_ledger_shows_the_lines_to_add_and_then_the_first_run(
    live_api: LiveApi, live_ui: str, page: Page, watch: Watch
) -> None:
    open_page(page, live_ui)
    state = page.locator(".st-key-state-empty")
    expect(state).to_contain_text("No run has been recorded yet.")
    expect(state.locator("pre")).to_contain_text('with carbon.track("my-project"')
    with Client(live_api.settings) as client:
        client.put_run(make_report(project="first"))
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_role("link", name="first")).to_be_visible()
    assert watch.complaints == []


def test_a_missing_api_is_named_and_found_again_by_retry(tmp_path: Path, page: Page) -> None:
    port = closed_port()
    with showing(f"http://127.0.0.1:{port}") as url:
        open_page(page, url)
        state = page.locator(".st-key-state-api-down")
        expect(state).to_contain_text(f"http://127.0.0.1:{port}")
        expect(state).to_contain_text("carbon serve")
        expect(state).to_contain_text("CARBON_API_URL")
        with serving(tmp_path, "--port", str(port)) as api, Client(api.settings) as client:
            client.put_run(make_report(project="found again"))
            page.get_by_role("button", name="Retry").click()
            expect(page.get_by_role("link", name="found again")).to_be_visible()


@pytest.mark.parametrize(
    "wrong_key", [{}, {"CARBON_API_KEY": "not-the-key"}], ids=["none", "wrong"]
)
def test_a_missing_or_wrong_key_says_which_setting_to_make(
    tmp_path: Path, page: Page, wrong_key: dict[str, str]
) -> None:
    with serving(tmp_path, CARBON_API_KEY=KEY) as api, showing(api.url, **wrong_key) as url:
        open_page(page, url)
        state = page.locator(".st-key-state-unauthorized")
        expect(state).to_contain_text("CARBON_API_KEY")
        expect(state).to_contain_text("401")
        assert KEY not in page.content()


def test_the_right_key_is_sent(tmp_path: Path, page: Page) -> None:
    with serving(tmp_path, CARBON_API_KEY=KEY) as api:
        with Client(api.settings) as client:
            client.put_run(make_report(project="guarded"))
        with showing(api.url, CARBON_API_KEY=KEY) as url:
            open_page(page, url)
            expect(page.get_by_role("link", name="guarded")).to_be_visible()


def start(*options: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m ui` where it is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "ui", *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=ROOT,
        env=clean_environment() | environ,
        check=False,
    )


def test_an_address_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = start("--port", str(port))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in ended.stderr


@pytest.mark.parametrize(
    ("options", "environ", "said"),
    [
        (["--port", "70000"], {}, "cannot listen on 127.0.0.1:70000"),
        (["--host", "no.such.host.invalid"], {}, "cannot listen on no.such.host.invalid"),
        ([], {"CARBON_API_URL": "nonsense"}, "CARBON_API_URL is 'nonsense'"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    options: list[str], environ: dict[str, str], said: str
) -> None:
    ended = start(*options, **environ)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr


def test_no_file_of_the_dashboard_hides_a_package() -> None:
    """Streamlit puts `ui/` itself on `sys.path`, so `ui/html.py` would be everybody's `html`."""
    names = {path.stem for path in (ROOT / "ui").iterdir() if not path.name.startswith("__")}
    assert not names & (set(sys.stdlib_module_names) | set(packages_distributions()))
