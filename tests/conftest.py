"""Distributes the tests over processes (pytest-xdist, `--dist loadgroup`).

The tests of one file run in one process, one after the other. Each process starts its own servers
and shares nothing with the others. The end-to-end tests form only two groups, because the embedded
stack is the most expensive server. The slowest groups start first.
"""

from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent

FIRST_HALF: Final = (
    "e2e/test_drills.py",
    "e2e/test_large.py",
    "e2e/test_many.py",
    "e2e/test_readme.py",
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its group, and put the slowest groups first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=_slowness)


def _place(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).as_posix()


def _group(item: pytest.Item) -> str:
    place = _place(item)
    if place.startswith("e2e/"):
        return "e2e, first half" if place in FIRST_HALF else "e2e, second half"
    return place


def _slowness(item: pytest.Item) -> int:
    place = _place(item)
    places = (number for number, slow in enumerate(SLOWEST) if place.startswith(slow))
    return next(places, len(SLOWEST))
