"""Many who ask for the same thing at the same time share one answer, and for a moment after.

When that moment is over, the old answer is given once more as long again while a new one is being
fetched: of fifty pollers none is kept waiting, and what they get is never older than twice the
moment. The answers belong to one event loop. A caller who goes away takes nothing from the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Landed(Generic[Value]):
    value: Value
    fresh_until: float


class SingleFlight(Generic[Key, Value]):
    """`make` is called once per key and time; `keep` says for how many seconds it is fresh."""

    def __init__(
        self, make: Callable[[Key], Awaitable[Value]], keep: Callable[[Value], float]
    ) -> None:
        self._make = make
        self._keep = keep
        self._flights: dict[Key, asyncio.Task[Value]] = {}
        self._landed: dict[Key, _Landed[Value]] = {}

    async def get(self, key: Key) -> Value:
        """The answer for the key: the shared one, or a new one."""
        landed = self._landed.get(key)
        if landed is not None and asyncio.get_running_loop().time() < landed.fresh_until:
            return landed.value
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fly(key))
            # One that nobody waits for may fail; the next who has to wait is told.
            flight.add_done_callback(lambda done: done.cancelled() or done.exception())
        if landed is not None:
            return landed.value
        return await asyncio.shield(flight)

    def forget(self, concerns: Callable[[Key], bool]) -> None:
        """Share no answer any longer whose key concerns what has changed."""
        for shared in (self._flights, self._landed):
            for key in [key for key in shared if concerns(key)]:
                del shared[key]

    async def _fly(self, key: Key) -> Value:
        flight = asyncio.current_task()
        try:
            value = await self._make(key)
        finally:
            # A flight that was forgotten meanwhile has nothing to tell to later callers.
            current = self._flights.get(key) is flight
            if current:
                del self._flights[key]
        seconds = self._keep(value)
        if current and seconds > 0:
            loop = asyncio.get_running_loop()
            landed = self._landed[key] = _Landed(value, loop.time() + seconds)
            loop.call_later(2 * seconds, self._drop, key, landed)
        elif current:
            self._landed.pop(key, None)
        return value

    def _drop(self, key: Key, landed: _Landed[Value]) -> None:
        if self._landed.get(key) is landed:
            del self._landed[key]
