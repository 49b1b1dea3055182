"""Distributes the tests over processes (pytest-xdist).

The tests of one file run in one process, one after the other. Each process starts its own servers
and shares nothing with the others. The end-to-end tests form only two groups, because the embedded
stack is the most expensive server. The slowest groups start first.
"""

from pathlib import Path
from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

TESTS: Final = Path(__file__).parent

FIRST_HALF: Final = (
    "e2e/test_drills.py",
    "e2e/test_large.py",
    "e2e/test_many.py",
    "e2e/test_doctor.py",
)
"""About half of the time that the end-to-end tests take."""

SLOWEST: Final = (
    "integration/test_worker_signals.py",
    *FIRST_HALF,
    "e2e",
    "integration/reconciliation",
    "workflows",
    "integration",
)
"""Files and folders of slow tests, the slowest first; everything else comes after them."""


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Hands whole groups of tests to the processes, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid.partition("::")[0].removeprefix(f"{TESTS.name}/"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling:
    """Distribute by group.

    Not by `xdist_group` marks: with pytest 9.2, pytest-xdist 3.8 ignores them and distributes
    single tests (https://github.com/pytest-dev/pytest-xdist/issues/1386).
    """
    return GroupScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest groups first."""
    items.sort(key=_slowness)


def group(place: str) -> str:
    """The group of a test file; `place` is its path below `tests`."""
    if place.startswith("e2e/"):
        return "e2e, first half" if place in FIRST_HALF else "e2e, second half"
    return place


def _slowness(item: pytest.Item) -> int:
    place = item.path.relative_to(TESTS).as_posix()
    places = (number for number, slow in enumerate(SLOWEST) if place.startswith(slow))
    return next(places, len(SLOWEST))
