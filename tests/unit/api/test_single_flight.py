"""Sharing one call among concurrent callers."""

import asyncio

import pytest

from api.status.single_flight import SingleFlight


class Maker:
    """Counts its calls; each returns when the test allows it."""

    def __init__(self) -> None:
        self.calls = 0
        self.landing = asyncio.Event()

    async def __call__(self, key: str) -> str:
        self.calls += 1
        number = self.calls
        await self.landing.wait()
        if key == "broken":
            raise ValueError(key)
        return f"{key} {number}"


async def test_concurrent_callers_share_one_result() -> None:
    maker = Maker()
    flights = SingleFlight(maker, lambda _: 0.0)
    asking = [asyncio.create_task(flights.get("a")) for _ in range(50)]
    other = asyncio.create_task(flights.get("b"))
    await asyncio.sleep(0)
    maker.landing.set()
    assert set(await asyncio.gather(*asking)) == {"a 1"}
    assert await other == "b 2"
    assert await flights.get("a") == "a 3"


async def test_result_is_cached_for_its_time() -> None:
    maker = Maker()
    maker.landing.set()
    flights = SingleFlight(maker, lambda _: 0.05)
    assert [await flights.get("a"), await flights.get("a")] == ["a 1", "a 1"]
    async with asyncio.timeout(30):
        while await flights.get("a") == "a 1":
            await asyncio.sleep(0.01)


async def test_no_caller_waits_after_the_first_result() -> None:
    maker = Maker()
    maker.landing.set()
    flights = SingleFlight(maker, lambda _: 0.05)
    await flights.get("a")
    maker.landing.clear()
    async with asyncio.timeout(30):
        while maker.calls == 1:
            assert await flights.get("a") == "a 1"
            await asyncio.sleep(0.01)
        assert await flights.get("a") == "a 1"
        # A result that is too old is not returned: this caller waits for the new one.
        await asyncio.sleep(0.06)
        waiting = asyncio.create_task(flights.get("a"))
        await asyncio.sleep(0)
        assert not waiting.done()
        maker.landing.set()
        assert await waiting == "a 2"
    assert maker.calls == 2


async def test_cancelled_caller_does_not_affect_the_others() -> None:
    maker = Maker()
    flights = SingleFlight(maker, lambda _: 0.0)
    leaving, staying = (asyncio.create_task(flights.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    maker.landing.set()
    assert await staying == "a 1"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_failure_is_not_cached() -> None:
    maker = Maker()
    maker.landing.set()
    flights = SingleFlight(maker, lambda _: 60.0)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await flights.get("broken")
    assert maker.calls == 2


async def test_invalidation_during_a_call_causes_a_new_call() -> None:
    maker = Maker()
    flights = SingleFlight(maker, lambda _: 60.0)
    before = asyncio.create_task(flights.get("a"))
    await asyncio.sleep(0)
    flights.forget(lambda key: key == "a")
    after = asyncio.create_task(flights.get("a"))
    await asyncio.sleep(0)
    maker.landing.set()
    assert (await before, await after) == ("a 1", "a 2")
    assert await flights.get("a") == "a 2"


async def test_caller_after_a_change_gets_no_older_result() -> None:
    """(S28) All callers after the change share one new result."""
    maker = Maker()
    flights = SingleFlight(maker, lambda _: 0.05)
    loop = asyncio.get_running_loop()
    before = asyncio.create_task(flights.get("a"))
    await asyncio.sleep(0)
    changed = loop.time()
    after = [asyncio.create_task(flights.get("a", changed)) for _ in range(20)]
    await asyncio.sleep(0)
    maker.landing.set()
    async with asyncio.timeout(30):
        assert await before == "a 1"
        assert set(await asyncio.gather(*after)) == {"a 2"}
    assert await flights.get("a", changed) == "a 2"
