"""Shares one answer among concurrent callers that request the same key.

An answer is fresh for some seconds, and returned for as long again while a new one is being made:
callers rarely wait, and never get an answer older than twice that time. A caller that knows of a
change gets no answer that was begun before it. All answers belong to one event loop. A caller that
is cancelled does not cancel the call that it shares.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True)
class _Call(Generic[Value]):
    begun: float
    """By the loop's clock."""
    task: "asyncio.Task[Value]"
    fresh_until: float = 0.0


class SingleFlight(Generic[Key, Value]):
    """Answers by key.

    Args:
        make: makes an answer; never runs twice at a time for one key.
        keep: for how many seconds an answer is fresh; 0 does not keep it.
    """

    def __init__(
        self, make: Callable[[Key], Coroutine[Any, Any, Value]], keep: Callable[[Value], float]
    ) -> None:
        self._make = make
        self._keep = keep
        self._running: dict[Key, _Call[Value]] = {}
        self._kept: dict[Key, _Call[Value]] = {}

    async def get(self, key: Key, since: float = 0.0) -> Value:
        """The kept answer for the key, or a new one.

        Args:
            key: what to make.
            since: a time of the loop's clock; no answer that was begun before it is returned.
        """
        loop = asyncio.get_running_loop()
        while True:
            kept = self._kept.get(key)
            if kept is not None and kept.begun >= since:
                if loop.time() >= kept.fresh_until:
                    self._call(key)
                return kept.task.result()
            if kept is not None and loop.time() < kept.fresh_until:
                # However often it changes, it is not made more often than this.
                await asyncio.sleep(kept.fresh_until - loop.time())
                continue
            call = self._call(key)
            value = await asyncio.shield(call.task)
            if call.begun >= since:
                return value

    def forget(self, concerns: Callable[[Key], bool]) -> None:
        """Return no answer to later callers whose key concerns what has changed."""
        for calls in (self._running, self._kept):
            for key in [key for key in calls if concerns(key)]:
                del calls[key]

    def _call(self, key: Key) -> _Call[Value]:
        """The call that is running, or a new one."""
        call = self._running.get(key)
        if call is None:
            loop = asyncio.get_running_loop()
            call = _Call(loop.time(), loop.create_task(self._make(key)))
            self._running[key] = call
            call.task.add_done_callback(lambda _: self._done(key, call))
        return call

    def _done(self, key: Key, call: _Call[Value]) -> None:
        # Reading the exception here keeps asyncio from reporting it when no caller waits.
        failed = call.task.cancelled() or call.task.exception() is not None
        if self._running.get(key) is not call:
            return  # It was forgotten.
        del self._running[key]
        if failed:
            return
        self._kept.pop(key, None)
        seconds = self._keep(call.task.result())
        if seconds > 0:
            loop = asyncio.get_running_loop()
            call.fresh_until = loop.time() + seconds
            self._kept[key] = call
            loop.call_later(2 * seconds, self._drop, key, call)

    def _drop(self, key: Key, call: _Call[Value]) -> None:
        if self._kept.get(key) is call:
            del self._kept[key]
