"""`python -m tests.drills --seed S --rounds N`: kill parts at random moments, check the promises.

Each round starts one job with a webhook on the whole embedded stack, kills one part with SIGKILL
at a seeded moment, lets the stack start it again, and then checks: the job ended, every document
is stored once with the hash the sandbox knows, and exactly one event id arrived. Prints a table
and ends with 1 if any round broke a promise. The moment is seeded; what it meets is not.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from rich.console import Console
from rich.table import Table

from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox
from tests.e2e.conftest import FAST

PARTS: Final = ("worker", "api", "temporal", "postgres", "s3")
DOCUMENTS: Final = 30


@dataclass(frozen=True)
class Round:
    """What one round did and found."""

    part: str
    after_milliseconds: int
    broken: tuple[str, ...]


async def play(stack: Stack, api: Api, sandbox: Sandbox, chance: random.Random, name: str) -> Round:
    """Kill one part in the middle of one job."""
    part, moment = chance.choice(PARTS), chance.uniform(0.05, 0.9)
    await sandbox.reset()
    await sandbox.control("POST", "/switches", json={"latency_ms": 80})
    case = await sandbox.new_case(DOCUMENTS, size_bytes=20_000, seed=chance.randrange(10**6))
    number = str(case["number"])
    started = await api.start(number, webhook_url=f"{sandbox.url}/receiver/{name}")
    await asyncio.sleep(moment)
    await stack.kill(part)
    await stack.wait_ready(part)
    broken = []
    status = await api.ended(number)
    if (status["status"], status["completed_documents"]) != ("completed", DOCUMENTS):
        broken.append(f"ended {status['status']} with {status['completed_documents']} documents")
    known = {document["uuid"]: document["sha256"] for document in case["documents"]}
    if {row["uuid"]: row["sha256"] for row in status["documents"]} != known:
        broken.append("the recorded hashes are not the source's")
    for row in status["documents"]:
        if row["download_url"] and await api.sha256(row["download_url"]) != row["sha256"]:
            broken.append(f"the link of {row['uuid']} opens other bytes")
    asked = (await sandbox.counters())["documents"].values()
    if sum(asked) > DOCUMENTS + 10:
        broken.append(f"the source was asked {sum(asked)} times")
    events = await arrived(sandbox, name, started["job_id"])
    if len(events) != 1:
        broken.append(f"{len(events)} event ids arrived")
    return Round(part, round(moment * 1000), tuple(broken))


async def arrived(sandbox: Sandbox, name: str, job_id: str) -> set[str]:
    """The event ids that came for the job, once one has come or half a minute has passed."""
    events: set[str] = set()
    for _ in range(300):
        received = await sandbox.control("GET", f"/receiver/{name}")
        events = {
            request["headers"]["webhook-id"]
            for request in received["requests"]
            if job_id in request["body"]
        }
        if events:
            break
        await asyncio.sleep(0.1)
    return events


async def drill(seed: int, rounds: int) -> list[Round]:
    """All rounds on one stack."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Stack(Path(folder), ports="free", extra_environment=FAST) as stack,
            httpx2.AsyncClient(timeout=60, trust_env=False) as http,
        ):
            environment = stack.settings_environment()
            api = Api(http, environment["AUTOS_API_URL"], environment["AUTOS_ADMIN_KEY"])
            sandbox = Sandbox(http, environment["AUTOS_PDPJ_BASE_URL"])
            return [
                await play(stack, api, sandbox, chance, f"drill-{number}")
                for number in range(1, rounds + 1)
            ]


def show(played: Sequence[Round]) -> None:
    """Print the table of what happened."""
    table = Table("round", "killed", "after ms", "broken promises")
    for number, one in enumerate(played, start=1):
        broken = "; ".join(one.broken) or "none"
        table.add_row(str(number), one.part, str(one.after_milliseconds), broken)
    Console().print(table)


def main() -> int:
    """Entry point; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    played = asyncio.run(drill(arguments.seed, arguments.rounds))
    show(played)
    return 1 if any(one.broken for one in played) else 0


if __name__ == "__main__":
    sys.exit(main())
