"""`python -m tests.drills --seed S --rounds N`: rounds S to S + N - 1 on one embedded stack.

Prints each round as it ends, then the totals, and writes the table to `.autos/drills/rounds.md`.
Exits with 1 if a round broke a guarantee; the logs of all parts and the evidence of such a round
are kept in the printed folder.
"""

import argparse
import asyncio
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

import httpx2
from rich.console import Console

from cli.stack import Stack
from tests.drills import table
from tests.drills.arena import BOUND, open_arena
from tests.drills.plan import make_round
from tests.drills.play import Player, Result

KEPT: Final = Path(".autos/drills")
_ENOUGH_ROUNDS: Final = 5
"""This many rounds include one whose jobs demand more requests than the limit allows."""


async def drill(seed: int, rounds: int, workers: int, console: Console) -> list[Result]:
    """Run all rounds, one after the other."""
    results: list[Result] = []
    async with (
        open_arena(workers) as arena,
        httpx2.AsyncClient(timeout=60, trust_env=False) as http,
    ):
        player = Player(arena.stack, http, arena.harms)
        for number in range(1, rounds + 1):
            result = await player.play(make_round(seed + number - 1))
            results.append(result)
            console.print(" | ".join(table.cells(number, result)), highlight=False, soft_wrap=True)
            if result.findings:
                console.print(
                    f"Kept in {keep(arena.stack, result)}", highlight=False, soft_wrap=True
                )
    return results


def keep(stack: Stack, result: Result) -> Path:
    """Copy the logs and write the evidence to a folder that outlives the stack."""
    folder = KEPT / f"seed-{result.round.seed}"
    shutil.copytree(stack.data_dir / "logs", folder, dirs_exist_ok=True)
    evidence = [asdict(case) for case in result.evidence]
    text = json.dumps(evidence, default=_as_text, indent=1)
    (folder / "evidence.json").write_text(text, encoding="utf-8")
    return folder


def _as_text(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def main() -> int:
    """Run the drills; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    arguments = parser.parse_args()
    console = Console()
    results = asyncio.run(drill(arguments.seed, arguments.rounds, arguments.workers, console))
    console.print(table.sums(results), highlight=False, soft_wrap=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / "rounds.md").write_text(table.markdown(results), encoding="utf-8")
    reached = max((result.in_flight for result in results), default=0)
    if rounds_show_the_bound := len(results) >= _ENOUGH_ROUNDS and reached < BOUND:
        console.print(f"The bound of {BOUND} requests at once was never reached, only {reached}.")
    return 1 if rounds_show_the_bound or any(result.findings for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
