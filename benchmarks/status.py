"""Status requests for a busy job: 50 pollers, first four times a second each, then without pause.

The answer lists all 173 documents of the case. The source is slowed down meanwhile, so the job is
busy for as long as it is polled.
"""

import asyncio
import time
from typing import Final

from benchmarks.bench import AUTOS, SOURCE_MS, Bench
from benchmarks.figures import Collector, Figure, percentile

_POLLERS: Final = 50
_DOCUMENTS: Final = 173
_SLOW_SOURCE_MS: Final = 500
_SECONDS: Final = 5.0
_PAUSES: Final = {"paced": 0.25, "without pause": 0.0}


async def status(bench: Bench, repetitions: int) -> list[Figure]:
    """Poll one running job."""
    collector = Collector("status")
    await bench.set_source_latency(_SLOW_SOURCE_MS)
    for number in await bench.make_cases(repetitions, _DOCUMENTS):
        job = asyncio.create_task(bench.turn(AUTOS, [number]))
        while not await bench.running_workflows():
            await asyncio.sleep(0.05)
        for name, pause in _PAUSES.items():
            before = bench.meter.read("api", "temporal", "worker")
            polls = await asyncio.gather(
                *(_poll(bench, number, pause, place) for place in range(_POLLERS))
            )
            spent = bench.meter.since(before)
            seconds = [second for poll in polls for second in poll]
            label = f", {name}"
            per_second = len(seconds) / _SECONDS
            collector.add(AUTOS, "speed", f"requests{label}", "1/s", per_second)
            for percent in (50, 99):
                milliseconds = percentile(seconds, percent) * 1000
                collector.add(AUTOS, "speed", f"answer p{percent}{label}", "ms", milliseconds)
            api = {"api": spent["api"]}
            collector.add_cpu(AUTOS, api, len(seconds), "request", label)
        await job
    await bench.set_source_latency(SOURCE_MS)
    return collector.figures()


async def _poll(bench: Bench, number: str, pause: float, place: int) -> list[float]:
    """Seconds of each answer that one poller got."""
    taken: list[float] = []
    path = f"/api/v1/processes/{number}/status"
    end = time.perf_counter() + _SECONDS
    async with bench.api() as connection:
        # The pollers start one after the other, as unrelated clients would.
        await asyncio.sleep(pause * place / _POLLERS)
        while (began := time.perf_counter()) < end:
            answer = await connection.request("GET", path)
            if answer.status != 200:
                raise RuntimeError(f"The status request was answered {answer.first_line}.")
            taken.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, began + pause - time.perf_counter()))
    return taken
