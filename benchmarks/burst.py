"""Many POSTs at once: how many are accepted, refused or failed, and how fast.

Each POST has a connection of its own and is sent once. A refusal (429) or an error (5xx) is
counted, not repeated; every accepted job must end with its webhook.
"""

import asyncio
import time
from collections import Counter
from typing import Final

from benchmarks.bench import AUTOS, AUTOS_PARTS, SOURCE_MS, Bench
from benchmarks.figures import Collector, Figure, percentile
from benchmarks.wire import Callback

DEFAULT_POSTS: Final = 100
_DOCUMENTS: Final = 5
_RUNNING_DOCUMENTS: Final = 20
_RUNNING_SOURCE_MS: Final = 2_000
"""With a slow source, the jobs that are under way outlast the burst."""
_ACCEPTED: Final = range(200, 300)


async def burst(
    bench: Bench, repetitions: int, posts: int = DEFAULT_POSTS, running: int = 0
) -> list[Figure]:
    """Burst after burst, each once the jobs of the one before have ended.

    Args:
        bench: the running servers.
        repetitions: how many bursts.
        posts: of one burst.
        running: larger jobs that are under way at each burst.
    """
    collector = Collector("burst")
    for _ in range(repetitions):
        under_way = await bench.make_cases(running, _RUNNING_DOCUMENTS)
        numbers = await bench.make_cases(posts, _DOCUMENTS)
        await bench.set_source_latency(_RUNNING_SOURCE_MS if under_way else SOURCE_MS)
        turn = asyncio.create_task(bench.turn(AUTOS, under_way)) if under_way else None
        while turn and not turn.done() and await bench.running_workflows() < running:
            await asyncio.sleep(0.1)
        accepted = await _measure(bench, collector, numbers)
        await bench.set_source_latency(SOURCE_MS)
        await bench.await_callbacks(accepted)
        if turn:
            await turn
        await bench.settled()
    return collector.figures()


async def _measure(
    bench: Bench, collector: Collector, numbers: list[str]
) -> dict[str, asyncio.Future[Callback]]:
    """Send the burst; the callbacks that are due for what was accepted."""
    expected = bench.receiver.expect(numbers)
    before = bench.meter.read(*AUTOS_PARTS)
    answers = await asyncio.gather(*(_post(bench, number) for number in numbers))
    spent = bench.meter.since(before)
    collector.add_cpu(AUTOS, {"api": spent["api"]}, len(numbers), "POST")
    counts = Counter(_group(status) for status, _ in answers)
    for group in ("accepted", "429", "5xx", "other"):
        collector.add(AUTOS, "speed", f"answers {group}", "POSTs", counts[group])
    seconds = [seconds for status, seconds in answers if status in _ACCEPTED]
    for percent in (50, 99):
        milliseconds = percentile(seconds, percent) * 1000 if seconds else 0.0
        collector.add(AUTOS, "speed", f"accepted p{percent}", "ms", milliseconds)
    return {
        number: expected[number]
        for number, (status, _) in zip(numbers, answers, strict=True)
        if status in _ACCEPTED
    }


async def _post(bench: Bench, number: str) -> tuple[int, float]:
    """The status of the answer and its seconds; status 0 if the connection broke."""
    began = time.perf_counter()
    try:
        status = (await bench.post(number)).status
    except (OSError, asyncio.IncompleteReadError):
        status = 0
    return status, time.perf_counter() - began


def _group(status: int) -> str:
    if status in _ACCEPTED:
        return "accepted"
    if status == 429:
        return "429"
    return "5xx" if status >= 500 else "other"
