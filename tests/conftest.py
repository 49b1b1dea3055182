"""How the tests are spread over processes (pytest-xdist, `--dist loadgroup`).

All tests of a file run in one process, one after the other. Each process starts the servers it
needs for itself, so nothing is shared between processes. The files that take longest start first.
"""

from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent

SLOWEST: Final = (
    "integration/test_worker_signals.py",
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
        item.add_marker(pytest.mark.xdist_group(_place(item)))
    items.sort(key=_slowness)


def _place(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).as_posix()


def _slowness(item: pytest.Item) -> int:
    place = _place(item)
    places = (number for number, slow in enumerate(SLOWEST) if place.startswith(slow))
    return next(places, len(SLOWEST))
