"""Fixtures, each in the file of `tests/fixtures` named for what it gives."""

import os

import hypothesis
import pytest

# No test asserts that something is fast: the machine may be busy.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# In an order in which none is imported by one before it.
pytest_plugins = [
    "tests.fixtures.ledgers",
    "tests.fixtures.api",
    "tests.fixtures.nvml",
    "tests.fixtures.tracking",
    "tests.fixtures.browser",
    "tests.fixtures.slurm",
]


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_users_own_ledger(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test, and no process of one, reads or writes what belongs to whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("CARBON_")]:
        del os.environ[name]
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


# Files that take longest, begun first: whoever begins one of them last is waited for by all others.
LONGEST = (
    "test_trainers_ray.py",
    "test_ui_pages.py",
    "test_carbon_tuning_search.py",
    "test_api_main.py",
    "test_trainers_train.py",
    "test_api_access.py",
    "test_ui_refresh.py",
    "test_ui_states.py",
    "test_trainers_strategies.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others stay in their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))
