"""What Autos costs while no job runs: part of the CPU of every other workload."""

import asyncio
from typing import Final

from benchmarks.bench import AUTOS, AUTOS_PARTS, Bench
from benchmarks.figures import Collector, Figure

_SECONDS: Final = 5.0


async def idle(bench: Bench, repetitions: int) -> list[Figure]:
    """CPU of each part per second without a job."""
    collector = Collector("idle")
    await bench.settled()
    for _ in range(repetitions):
        before = bench.meter.read(*AUTOS_PARTS)
        await asyncio.sleep(_SECONDS)
        spent = bench.meter.since(before)
        per_second = {part: milliseconds / _SECONDS for part, milliseconds in spent.items()}
        collector.add_cpu(AUTOS, per_second, 1, "second")
    return collector.figures()
