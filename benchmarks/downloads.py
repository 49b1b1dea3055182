"""Downloads of Autos beside its rivals: the workloads one-job, ten-jobs, small-job, many-small and
growth.

In each repetition every rival downloads the same cases, in turns, so what the machine does besides
affects all rivals.
"""

from dataclasses import dataclass
from typing import Final, Literal

from autos.contracts.temporal_names import job_workflow_id
from benchmarks.bench import AUTOS, DBOS, SCRIPT, SOURCE_MS, Bench, Turn
from benchmarks.figures import Collector, Figure, percentile
from benchmarks.history import HistoryCount, count_history
from benchmarks.peer import AT_ONCE

SMALL_RIVALS: Final = (SCRIPT, AUTOS, DBOS)
_GROWTH_BYTES: Final = 20_000
_GROWTH: Final = {10: 10, 100: 3, 1_000: 1, 10_000: 1}
"""Documents of a case: number of cases, one after the other."""


@dataclass(frozen=True, slots=True)
class Race:
    """Equal jobs, for Autos and its rivals."""

    jobs: int
    """At once."""
    documents: int
    """Of each job."""
    unit: Literal["job", "document"]
    """What CPU and history events are counted by."""
    rivals: tuple[str, ...]
    series: int = 1
    """Turns of a rival before the next rival's, to measure short jobs more often."""
    label: str = ""
    """Ends the names of the figures."""

    @property
    def units(self) -> int:
        """The units of work in one repetition."""
        return self.series * self.jobs * (self.documents if self.unit == "document" else 1)


async def one_job(bench: Bench, repetitions: int) -> list[Figure]:
    """One job of 173 documents, 5 in flight."""
    race = Race(1, 173, "document", (SCRIPT, AUTOS))
    collector = Collector("one-job")
    for _ in range(repetitions):
        measured = await _repeat(bench, race, collector)
        per_second = race.documents / measured[AUTOS].seconds
        bound = AT_ONCE / (SOURCE_MS / 1000)
        collector.add(AUTOS, "speed", "share of the physical bound", "×", per_second / bound)
    return collector.figures()


async def ten_jobs(bench: Bench, repetitions: int) -> list[Figure]:
    """Ten jobs of 173 documents at once, 50 in flight."""
    return await _race(bench, "ten-jobs", Race(10, 173, "document", (SCRIPT, AUTOS)), repetitions)


async def small_job(bench: Bench, repetitions: int) -> list[Figure]:
    """One job of 5 documents at a time, from POST to webhook."""
    race = Race(1, 5, "job", SMALL_RIVALS, series=10)
    collector = Collector("small-job")
    for _ in range(repetitions):
        measured = await _repeat(bench, race, collector)
        p50 = {rival: percentile(turns.latencies, 50) * 1000 for rival, turns in measured.items()}
        for rival in race.rivals:
            collector.add(rival, "speed", "start to callback p50", "ms", p50[rival])
        for rival in (AUTOS, DBOS):
            above = p50[rival] - p50[SCRIPT]
            collector.add(rival, "speed", "above the script p50", "ms", above)
    return collector.figures()


async def many_small(bench: Bench, repetitions: int) -> list[Figure]:
    """20 jobs of 5 documents at once, then 60."""
    collector = Collector("many-small")
    for jobs in (20, 60):
        race = Race(jobs, 5, "job", SMALL_RIVALS, label=f", {jobs} at once")
        for _ in range(repetitions):
            await _repeat(bench, race, collector)
    return collector.figures()


async def growth(bench: Bench, _: int) -> list[Figure]:
    """One job of 10, 100, 1,000 and 10,000 documents; the source answers at once."""
    collector = Collector("growth")
    costs: list[float] = []
    await bench.set_source_latency(0)
    for documents, cases in _GROWTH.items():
        numbers = await bench.make_cases(cases, documents, _GROWTH_BYTES)
        turns = await bench.turn(AUTOS, *([number] for number in numbers))
        label = f", {documents:,} documents"
        collector.add_cpu(AUTOS, turns.cpu, documents * cases, "document", label)
        speed = documents * cases / turns.seconds
        collector.add(AUTOS, "speed", f"documents{label}", "1/s", speed)
        costs.append(sum(turns.cpu.values()) / (documents * cases))
    await bench.set_source_latency(SOURCE_MS)
    worst = max(
        larger / smaller for place, smaller in enumerate(costs) for larger in costs[place + 1 :]
    )
    collector.add(AUTOS, "cpu", "growth of the cost per document", "×", worst)
    return collector.figures()


async def _race(bench: Bench, name: str, race: Race, repetitions: int) -> list[Figure]:
    collector = Collector(name)
    for _ in range(repetitions):
        await _repeat(bench, race, collector)
    return collector.figures()


async def _repeat(bench: Bench, race: Race, collector: Collector) -> dict[str, Turn]:
    """One repetition of every rival; adds the figures that all races have."""
    numbers = await bench.make_cases(race.jobs * race.series, race.documents)
    groups = [numbers[start :: race.series] for start in range(race.series)]
    measured = {rival: await bench.turn(rival, *groups) for rival in race.rivals}
    script = measured[SCRIPT].seconds
    for rival, turns in measured.items():
        rate = race.units / turns.seconds
        collector.add(rival, "speed", f"{race.unit}s{race.label}", "1/s", rate)
        if rival != SCRIPT:
            ratio = script / turns.seconds
            collector.add(rival, "speed", f"speed beside the script{race.label}", "×", ratio)
        collector.add_cpu(rival, turns.cpu, race.units, race.unit, race.label)
    for rival, title in ((SCRIPT, "the script"), (DBOS, "DBOS")):
        if rival in measured:
            ratio = sum(measured[AUTOS].cpu.values()) / sum(measured[rival].cpu.values())
            collector.add(AUTOS, "cpu", f"total cpu beside {title}{race.label}", "×", ratio)
    history = await _history(bench, measured[AUTOS].jobs)
    per_unit = f"1/{race.unit}"
    events, tasks = history.events / race.units, history.workflow_tasks / race.units
    collector.add(AUTOS, "history", f"history events{race.label}", per_unit, events)
    collector.add(AUTOS, "history", f"workflow tasks{race.label}", per_unit, tasks)
    return measured


async def _history(bench: Bench, jobs: dict[str, str]) -> HistoryCount:
    total = HistoryCount()
    for number, job_id in jobs.items():
        total += await count_history(bench.temporal, job_workflow_id(number), job_id)
    return total
