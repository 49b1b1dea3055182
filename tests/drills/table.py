"""Formats results: a line per round, the totals, and Markdown."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from tests.drills.invariants import Kind
from tests.drills.play import Result

COLUMNS: Final = (
    "round",
    "seed",
    "done (seconds)",
    "jobs",
    "documents",
    "requests",
    "struck",
    "at once",
    "s",
    "verdict",
)


def cells(number: int, result: Result) -> tuple[str, ...]:
    """The cells of a round's row."""
    plan = result.round
    return (
        str(number),
        str(plan.seed),
        "; ".join(str(action) for action in plan.actions) or "nothing",
        str(len(plan.cases)),
        str(result.documents),
        str(result.requests),
        str(result.struck),
        str(result.in_flight),
        f"{result.seconds:.0f}",
        verdict(result),
    )


def verdict(result: Result) -> str:
    """The findings, or `good`."""
    return "; ".join(f"{one.kind}: {one.text}" for one in result.findings) or "good"


def sums(results: Sequence[Result]) -> str:
    """The totals of all rounds."""
    counts = ", ".join(f"{sum(one.count(kind) for one in results)} {kind}" for kind in Kind)
    broken = sum(bool(one.findings) for one in results)
    documents = sum(one.documents for one in results)
    jobs = sum(len(one.round.cases) for one in results)
    took = timedelta(seconds=round(sum(one.seconds for one in results)))
    return (
        f"{len(results)} rounds, {jobs} jobs, {documents} documents in {took}: {counts}; "
        f"{broken} rounds broken."
    )


def markdown(results: Sequence[Result]) -> str:
    """The totals and the table as Markdown."""
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    lines += [cells(number, result) for number, result in enumerate(results, start=1)]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{sums(results)}\n\n{rows}\n"
