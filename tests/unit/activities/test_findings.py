"""Errors at one item of a page, and the other items."""

import pytest

from activities.reconciliation import findings
from autos.records.database import DatabaseUnreachable


async def checked_items(error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The items checked out of four when the second raises; the error must be raised at the end."""
    monkeypatch.setattr(findings, "_AT_ONCE", 1)
    seen: list[int] = []

    async def look_at(item: int) -> None:
        seen.append(item)
        if item == 2:
            raise error

    with pytest.raises(ExceptionGroup) as raised:
        await findings.for_each([1, 2, 3, 4], look_at)
    assert raised.value.exceptions == (error,)
    return seen


async def test_defect_at_one_item_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(S16) The page is unfinished, but the other items are repaired."""
    assert await checked_items(ValueError(), monkeypatch) == [1, 2, 3, 4]


async def test_outage_ends_a_page_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other items would meet the same outage."""
    assert await checked_items(DatabaseUnreachable(), monkeypatch) == [1, 2]
