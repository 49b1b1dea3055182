"""Courts do not block each other (U3), and a court that fails gets fewer requests."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from autos.contracts.reasons import Reason
from autos.source.limits.breaker import FAILURES_TO_OPEN
from autos.source.limits.courts import Courts, NotSent
from autos.source.limits.limiter import Limiter
from autos.source.replies.judge import Refused
from tests.unit.source.clients import LocalPermits

MOST = 20
SLOW, HEALTHY = "TJSP", "TRF3"
BOUND = 30.0


def courts_of(most: int = MOST, silence: float = 60.0) -> Courts:
    return Courts(Limiter(LocalPermits(most)), most, 2.0, silence=silence)


Heard = Callable[[], None]


async def send(
    courts: Courts,
    court: str,
    request: Callable[[Heard], Awaitable[str | Refused]],
    *,
    urgent: bool = False,
) -> str | Refused:
    """Make one request when the court allows it."""
    try:
        async with courts.turn(court, urgent=urgent) as turn:
            return turn.ended(await request(turn.data_received))
    except NotSent as rejected:
        return rejected.refused


def answering(outcome: str | Refused) -> Callable[[Heard], Awaitable[str | Refused]]:
    async def request(_: Heard) -> str | Refused:
        await asyncio.sleep(0)
        return outcome

    return request


class Hanging:
    """A court that does not respond until `go` is set."""

    def __init__(self) -> None:
        self.requests = 0
        self.go = asyncio.Event()

    async def __call__(self, _: Heard) -> str | Refused:
        self.requests += 1
        await self.go.wait()
        return "late"


@contextmanager
def many(
    courts: Courts, court: str, request: Callable[[Heard], Awaitable[str | Refused]], count: int
) -> Iterator[list[asyncio.Task[str | Refused]]]:
    tasks = [asyncio.create_task(send(courts, court, request)) for _ in range(count)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND):
        while not condition():
            await asyncio.sleep(0)


async def test_hanging_court_does_not_block_another() -> None:
    """U3."""
    courts, hanging = courts_of(), Hanging()
    with many(courts, SLOW, hanging, 100):
        await until(lambda: hanging.requests == MOST - MOST // 10)
        async with asyncio.timeout(BOUND):
            for _ in range(50):
                assert await send(courts, HEALTHY, answering("there")) == "there"
        assert hanging.requests == 18


async def test_queued_requests_of_a_silent_court_are_not_sent() -> None:
    courts, hanging = courts_of(silence=0.05), Hanging()
    with many(courts, SLOW, hanging, 30) as tasks:
        await until(lambda: sum(task.done() for task in tasks) == 12)
        sent_away = [task.result() for task in tasks if task.done()]
        assert sent_away == [Refused(Reason.UNAVAILABLE, retry_after=0.05, unsent=True)] * 12
        # The next one is rejected at once.
        assert isinstance(await send(courts, SLOW, answering("never sent")), Refused)
        hanging.go.set()
        await until(lambda: all(task.done() for task in tasks))
    assert hanging.requests == 18
    assert await send(courts, SLOW, answering("there")) == "there"


async def test_slow_large_document_does_not_count_as_silence() -> None:
    courts, go = courts_of(10, silence=0.2), asyncio.Event()

    async def trickling(heard: Heard) -> str | Refused:
        while not go.is_set():
            heard()
            await asyncio.sleep(0.01)
        return "large"

    with many(courts, SLOW, trickling, 10) as tasks:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await until(lambda: loop.time() - begun > 0.7)
        assert not any(task.done() for task in tasks)
        go.set()
        async with asyncio.timeout(BOUND):
            assert await asyncio.gather(*tasks) == ["large"] * 10


async def test_overload_of_one_batch_halves_only_that_courts_limit_once() -> None:
    courts, observer = courts_of(), Seen()
    courts.observer = observer
    await asyncio.gather(
        *(send(courts, SLOW, answering(Refused(Reason.RATE_LIMITED))) for _ in range(5))
    )
    await send(courts, HEALTHY, answering("there"))
    assert observer.last == {SLOW: (9, False), HEALTHY: (18, False)}

    hanging = Hanging()
    with many(courts, SLOW, hanging, 30):
        await until(lambda: hanging.requests == 9)
        assert await send(courts, HEALTHY, answering("there")) == "there"
        assert hanging.requests == 9


class Seen:
    """Keeps the last change of each court."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, bool]] = {}
        self.unsent = 0

    def court_changed(self, court: str, limit: int, is_open: bool) -> None:
        self.last[court] = limit, is_open

    def request_rejected(self, court: str) -> None:
        self.unsent += 1


async def test_open_breaker_rejects_queued_requests_of_its_court() -> None:
    courts, observer = courts_of(), Seen()
    courts.observer = observer
    sent = 0

    async def failing(_: Heard) -> str | Refused:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0)
        return Refused(Reason.TIMEOUT)

    with structlog.testing.capture_logs() as logs, many(courts, SLOW, failing, 100) as tasks:
        async with asyncio.timeout(BOUND):
            outcomes = await asyncio.gather(*tasks)
        assert await send(courts, HEALTHY, answering("there")) == "there"
    assert FAILURES_TO_OPEN <= sent <= 18
    unsent = [outcome for outcome in outcomes if isinstance(outcome, Refused) and outcome.unsent]
    assert len(unsent) == observer.unsent == 100 - sent
    assert all(refused.reason is Reason.TIMEOUT for refused in unsent)
    assert all((refused.retry_after or 0) > 0 for refused in unsent)
    assert observer.last[SLOW][1] is True
    assert [entry["event"] for entry in logs] == ["source_breaker_opened"]

    with structlog.testing.capture_logs() as logs:
        assert await send(courts, SLOW, answering("there"), urgent=True) == "there"
        assert await send(courts, SLOW, answering("there")) == "there"
    assert observer.last[SLOW][1] is False
    assert [entry["event"] for entry in logs] == ["source_breaker_closed"]


async def test_retry_after_applies_to_the_whole_court() -> None:
    courts = courts_of()
    await send(courts, SLOW, answering(Refused(Reason.RATE_LIMITED, retry_after=30)))
    held = await send(courts, SLOW, answering("never sent"))
    assert isinstance(held, Refused)
    assert held.unsent
    assert 29 < (held.retry_after or 0) <= 30
    assert await send(courts, HEALTHY, answering("there")) == "there"


async def test_cancelled_requests_release_their_slots() -> None:
    courts, hanging = courts_of(), Hanging()
    with many(courts, SLOW, hanging, 40) as tasks:
        await until(lambda: hanging.requests == 18)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert hanging.requests == 18
    async with asyncio.timeout(BOUND):
        answers = await asyncio.gather(*(send(courts, SLOW, answering("there")) for _ in range(40)))
    assert answers == ["there"] * 40


async def test_cancelled_trial_allows_the_next_one() -> None:
    courts, hanging = courts_of(), Hanging()
    await send(courts, SLOW, answering(Refused(Reason.UNAVAILABLE, retry_after=60)))
    trial = asyncio.create_task(send(courts, SLOW, hanging, urgent=True))
    await until(lambda: hanging.requests == 1)
    assert isinstance(await send(courts, SLOW, answering("never"), urgent=True), Refused)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    assert await send(courts, SLOW, answering("there"), urgent=True) == "there"
