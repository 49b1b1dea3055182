"""`python -m benchmarks [WORKLOAD...]`: measures, then writes the table and the plots."""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import budget, downloads, report
from benchmarks.bench import DBOS, SCRIPT, Bench, open_bench
from benchmarks.burst import DEFAULT_POSTS, burst
from benchmarks.figures import Figure, Results, rounded
from benchmarks.flame_graph import recording
from benchmarks.idle import idle
from benchmarks.memory import large_document, memory
from benchmarks.status import status

_ROOT: Final = Path(__file__).parents[1]
_OUTPUT: Final = _ROOT / "docs" / "performance"
_RESULTS: Final = "results.json"
_TABLE: Final = "results.md"

Workload = Callable[[Bench, int], Awaitable[list[Figure]]]
_WORKLOADS: Final[dict[str, Workload]] = {
    "idle": idle,
    "one-job": downloads.one_job,
    "ten-jobs": downloads.ten_jobs,
    "small-job": downloads.small_job,
    "many-small": downloads.many_small,
    "status": status,
    "growth": downloads.growth,
    "burst": burst,
    "memory": memory,
    "large-document": large_document,
}
_LONG: Final = ("memory", "large-document")
"""Run only if named."""


def main() -> int:
    """Run the command line; the exit code."""
    parser = _parser()
    options = parser.parse_args()
    unknown = set(options.workloads) - set(_WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(_WORKLOADS)}")
    if options.compare is not None:
        return _check(Results.load(options.compare))
    names = options.workloads or [name for name in _WORKLOADS if name not in _LONG]
    try:
        results = asyncio.run(_measure(names, options))
    except KeyboardInterrupt:
        _write("Stopped.")
        return 130
    return _check(results) if options.check else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help=f"{', '.join(_WORKLOADS)}; by default all but {' and '.join(_LONG)}",
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--posts", type=int, default=DEFAULT_POSTS, help="POSTs of one burst")
    parser.add_argument("--running", type=int, default=0, help="jobs under way at a burst")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="folder for table and plots")
    parser.add_argument("--check", action="store_true", help="fail if a budget is exceeded")
    parser.add_argument("--compare", type=Path, help="check this file; measure nothing")
    parser.add_argument(
        "--profile",
        choices=["worker", "api"],
        help="write a flame graph of this part; the figures are not kept",
    )
    return parser


async def _measure(names: Sequence[str], options: argparse.Namespace) -> Results:
    """Run the workloads; their results, which are also in the output folder."""
    folder = Path(tempfile.mkdtemp(prefix="autos-bench-"))
    has_failed = False
    try:
        return await _run(names, options, folder)
    except Exception:
        has_failed = True
        _write(f"A workload failed. The logs of all servers are kept in {folder}.")
        raise
    finally:
        if not has_failed:
            await asyncio.to_thread(shutil.rmtree, folder)


async def _run(names: Sequence[str], options: argparse.Namespace, folder: Path) -> Results:
    workloads = _WORKLOADS | {"burst": partial(burst, posts=options.posts, running=options.running)}
    results = Results(())
    async with AsyncExitStack() as opened:
        bench = await opened.enter_async_context(open_bench(folder, (SCRIPT, DBOS), _write))
        await _warm_up(bench)
        if options.profile:
            svg = options.output / f"profile-{options.profile}-{'-'.join(names)}.svg"
            pid = bench.meter.pid(options.profile)
            await opened.enter_async_context(recording(pid, svg))
            _write(f"The flame graph will be {svg}.")
        for name in names:
            began = time.perf_counter()
            figures = tuple(await workloads[name](bench, options.repetitions))
            _write(f"\n{name}, measured in {time.perf_counter() - began:.0f} s")
            for figure in figures:
                spread = f"{rounded(min(figure.values))} to {rounded(max(figure.values))}"
                _write(f"  {figure.key}: {rounded(figure.median)} {figure.unit} ({spread})")
            measured = Results(figures, {name: _conditions()})
            results = measured.merged_into(results)
            if not options.profile:
                _save(measured, options.output)
    return results


async def _warm_up(bench: Bench) -> None:
    """Let every process open its connections and import what it imports late."""
    for rival in downloads.SMALL_RIVALS:
        await bench.turn(rival, await bench.make_cases(5, 5))


def _save(measured: Results, folder: Path) -> None:
    """Put the figures beside those of other workloads, and write the table and the plots anew."""
    # Not at the top: it needs matplotlib, which the other commands and the tests do without.
    from benchmarks import plots

    path = folder / _RESULTS
    results = measured.merged_into(Results.load(path)) if path.exists() else measured
    results.save(path)
    drawn = [path.name for path in plots.draw(results, folder) if path.suffix == ".svg"]
    (folder / _TABLE).write_text(report.markdown(results, budget.load(), drawn))


def _conditions() -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    load = os.getloadavg()[1]
    now = datetime.now(UTC)
    return f"{commit}, {now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, load {load:.1f}"


def _check(results: Results) -> int:
    found = budget.breaches(results, budget.load())
    for sentence in found:
        _write(sentence)
    _write(f"{len(found)} figures are behind their budget." if found else "Within the budget.")
    return 1 if found else 0


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
