"""Memory of the worker: over a case of 50,000 documents, and for a document of 1 GiB.

Both take many minutes on a small machine and are not part of `make bench`.
"""

import asyncio
from typing import Final

from benchmarks.bench import AUTOS, SOURCE_MS, Bench
from benchmarks.figures import Collector, Figure

_DOCUMENTS: Final = 50_000
_SMALL_BYTES: Final = 2_000
_GIBIBYTE: Final = 2**30
_SAMPLE_SECONDS: Final = 0.2
_WARM_UP_DOCUMENTS: Final = 500


async def memory(bench: Bench, _: int) -> list[Figure]:
    """A case of 50,000 documents: the memory at a fifth of the time, at the end, and the most."""
    return await _measure(bench, "memory", _DOCUMENTS, _SMALL_BYTES)


async def large_document(bench: Bench, _: int) -> list[Figure]:
    """A document of 1 GiB."""
    return await _measure(bench, "large-document", 1, _GIBIBYTE)


async def _measure(bench: Bench, name: str, documents: int, size: int) -> list[Figure]:
    collector = Collector(name)
    await bench.set_source_latency(0)
    # A worker that has just started grows whatever its first job is.
    await bench.turn(AUTOS, await bench.make_cases(1, _WARM_UP_DOCUMENTS))
    numbers = await bench.make_cases(1, documents, size)
    before = bench.meter.resident_mib("worker")
    samples: list[float] = []
    sampling = asyncio.create_task(_sample(bench, samples))
    turn = await bench.turn(AUTOS, numbers)
    sampling.cancel()
    await bench.set_source_latency(SOURCE_MS)
    collector.add_cpu(AUTOS, turn.cpu, documents, "document")
    collector.add(AUTOS, "speed", "documents", "1/s", documents / turn.seconds)
    collector.add(AUTOS, "memory", "worker before", "MiB", before)
    collector.add(AUTOS, "memory", "worker at most above", "MiB", max(samples) - before)
    later = samples[-1] - samples[len(samples) // 5]
    collector.add(AUTOS, "memory", "worker growth over the last four fifths", "MiB", later)
    return collector.figures()


async def _sample(bench: Bench, samples: list[float]) -> None:
    while True:
        samples.append(bench.meter.resident_mib("worker"))
        await asyncio.sleep(_SAMPLE_SECONDS)
