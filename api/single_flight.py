"""Many who ask for the same thing at the same time share one answer, and for a moment after.

The answer belongs to one event loop. A caller who goes away does not take it from the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """`make` is called once per key and time; `keep` says how many seconds its answer is shared."""

    def __init__(
        self, make: Callable[[Key], Awaitable[Value]], keep: Callable[[Value], float]
    ) -> None:
        self._make = make
        self._keep = keep
        self._flights: dict[Key, asyncio.Task[Value]] = {}

    async def get(self, key: Key) -> Value:
        """The answer for the key: the shared one, or a new one."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key))
            self._flights[key] = flight
        return await asyncio.shield(flight)

    def forget(self, concerns: Callable[[Key], bool]) -> None:
        """Share no answer any longer whose key concerns what has changed."""
        for key in [key for key in self._flights if concerns(key)]:
            del self._flights[key]

    async def _fly(self, key: Key) -> Value:
        flight = asyncio.current_task()
        seconds = 0.0
        try:
            value = await self._make(key)
            seconds = self._keep(value)
        finally:
            if seconds > 0:
                asyncio.get_running_loop().call_later(seconds, self._drop, key, flight)
            else:
                self._drop(key, flight)
        return value

    def _drop(self, key: Key, flight: object) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
