"""Many who ask for the same thing at the same time share one answer, and for a moment after.

When that moment is over, the old answer is given once more as long again while a new one is being
fetched: of fifty pollers none is kept waiting, and what they get is never older than twice the
moment. Whoever knows of a change asks for an answer that was begun after it, and never gets an
older one. The answers belong to one event loop. A caller who goes away takes nothing from the
others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Flight(Generic[Value]):
    begun: float
    task: "asyncio.Task[Value]"


@dataclass(frozen=True, slots=True)
class _Landed(Generic[Value]):
    value: Value
    begun: float
    fresh_until: float


class SingleFlight(Generic[Key, Value]):
    """`make` is called once per key and time; `keep` says for how many seconds it is fresh."""

    def __init__(
        self, make: Callable[[Key], Awaitable[Value]], keep: Callable[[Value], float]
    ) -> None:
        self._make = make
        self._keep = keep
        self._flights: dict[Key, _Flight[Value]] = {}
        self._landed: dict[Key, _Landed[Value]] = {}

    async def get(self, key: Key, since: float = 0.0) -> Value:
        """The answer for the key: the shared one, or a new one.

        Args:
            key: what is asked for.
            since: a moment of the loop's clock; an answer that was begun before it will not do.
        """
        loop = asyncio.get_running_loop()
        while True:
            landed = self._landed.get(key)
            fresh = landed is not None and loop.time() < landed.fresh_until
            if landed is not None and landed.begun >= since:
                if not fresh:
                    self._fly(key)
                return landed.value
            if landed is not None and fresh:
                # However often it changes, it is not fetched more often than this.
                await asyncio.sleep(landed.fresh_until - loop.time())
                continue
            flight = self._fly(key)
            value = await asyncio.shield(flight.task)
            if flight.begun >= since:
                return value

    def forget(self, concerns: Callable[[Key], bool]) -> None:
        """Share no answer any longer whose key concerns what has changed."""
        for shared in (self._flights, self._landed):
            for key in [key for key in shared if concerns(key)]:
                del shared[key]

    def _fly(self, key: Key) -> _Flight[Value]:
        """The flight that is under way, or a new one."""
        flight = self._flights.get(key)
        if flight is None:
            begun = asyncio.get_running_loop().time()
            flight = _Flight(begun, asyncio.create_task(self._fetch(key, begun)))
            self._flights[key] = flight
            # One that nobody waits for may fail; the next who has to wait is told.
            flight.task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return flight

    async def _fetch(self, key: Key, begun: float) -> Value:
        task = asyncio.current_task()
        try:
            value = await self._make(key)
        finally:
            # A flight that was forgotten meanwhile has nothing to tell to later callers.
            flight = self._flights.get(key)
            current = flight is not None and flight.task is task
            if current:
                del self._flights[key]
        seconds = self._keep(value)
        if current and seconds > 0:
            loop = asyncio.get_running_loop()
            landed = self._landed[key] = _Landed(value, begun, loop.time() + seconds)
            loop.call_later(2 * seconds, self._drop, key, landed)
        elif current:
            self._landed.pop(key, None)
        return value

    def _drop(self, key: Key, landed: _Landed[Value]) -> None:
        if self._landed.get(key) is landed:
            del self._landed[key]
