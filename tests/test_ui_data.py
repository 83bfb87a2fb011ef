"""What the pages ask of the API, and how often."""

from collections.abc import Iterator

import pytest
import streamlit as st

from carbon.schema import RunPage
from tests.answers import place, summary
from tests.factories import make_report
from ui import data


class Ledger:
    """Answers with one run, and counts how often it was asked."""

    asked = 0

    def runs(self, **query: object) -> RunPage:
        self.asked += 1
        return RunPage(items=[make_report()])


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger in the place of the API, with nothing remembered of it."""
    ledger = Ledger()
    monkeypatch.setattr(data, "client", lambda: ledger)
    st.cache_data.clear()
    yield ledger
    st.cache_data.clear()


def test_the_newest_runs_are_asked_for_anew_once_the_summary_differs(ledger: Ledger) -> None:
    for _ in range(3):
        data.newest_runs(summary())
    assert ledger.asked == 1
    data.newest_runs(summary(place("DEU", 1.0, 0.4)))
    assert ledger.asked == 2
