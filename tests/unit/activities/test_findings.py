"""What one item of a page does to the others."""

import pytest

from activities.reconciliation import findings
from autos.records.database import DatabaseUnreachable


async def checked_items(error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which of four items are looked at when the second raises, which comes out at the end."""
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


async def test_a_defect_at_one_item_keeps_no_other_from_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(S16) The page is unfinished, but what can be repaired is."""
    assert await checked_items(ValueError(), monkeypatch) == [1, 2, 3, 4]


async def test_an_outage_ends_a_page_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks 200 times for what does not answer."""
    assert await checked_items(DatabaseUnreachable(), monkeypatch) == [1, 2]
