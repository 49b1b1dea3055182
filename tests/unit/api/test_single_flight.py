"""Many callers, one flight."""

import asyncio

import pytest

from api.status.single_flight import SingleFlight


class Maker:
    """Counts its calls; lands when the test says so."""

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


async def test_those_who_ask_at_once_share_one_answer() -> None:
    maker = Maker()
    flights = SingleFlight(maker, lambda _: 0.0)
    asking = [asyncio.create_task(flights.get("a")) for _ in range(50)]
    other = asyncio.create_task(flights.get("b"))
    await asyncio.sleep(0)
    maker.landing.set()
    assert set(await asyncio.gather(*asking)) == {"a 1"}
    assert await other == "b 2"
    assert await flights.get("a") == "a 3"


async def test_an_answer_is_shared_for_its_time() -> None:
    maker = Maker()
    maker.landing.set()
    flights = SingleFlight(maker, lambda _: 0.05)
    assert [await flights.get("a"), await flights.get("a")] == ["a 1", "a 1"]
    async with asyncio.timeout(30):
        while await flights.get("a") == "a 1":
            await asyncio.sleep(0.01)


async def test_after_the_first_answer_no_caller_waits() -> None:
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
        # An answer that is too old is not returned: this caller waits for the new one.
        await asyncio.sleep(0.06)
        waiting = asyncio.create_task(flights.get("a"))
        await asyncio.sleep(0)
        assert not waiting.done()
        maker.landing.set()
        assert await waiting == "a 2"
    assert maker.calls == 2


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    maker = Maker()
    flights = SingleFlight(maker, lambda _: 0.0)
    leaving, staying = (asyncio.create_task(flights.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    maker.landing.set()
    assert await staying == "a 1"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_failure_is_not_kept() -> None:
    maker = Maker()
    maker.landing.set()
    flights = SingleFlight(maker, lambda _: 60.0)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await flights.get("broken")
    assert maker.calls == 2


async def test_what_changed_is_made_anew_even_while_a_call_runs() -> None:
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


async def test_who_knows_of_a_change_gets_no_answer_from_before() -> None:
    """(S28) All who know of it share one new answer, and it is not fetched more often than that."""
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
