"""One job of 173 documents against a bare asyncio script: `python -m benchmarks.one_job`.

Source 80 ms, store 40 ms, 200 KB a document, five at a time on both sides; script and job take
turns in one run on the same servers, so only the ratio counts. Prints each round and the medians;
`--profile` also says where a job's time between its batches goes.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil  # type: ignore[import-untyped]  # publishes no types
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from autos.cnj import CaseNumber
from autos.contracts.download import Attach, DownloadProcess, JobOptions
from autos.contracts.temporal_names import JOBS_QUEUE, job_workflow_id
from benchmarks.bare_script import BareScript
from cli.stack import Stack

SOURCE_MS: Final = 80
STORE_MS: Final = 40
AT_ONCE: Final = 5


@asynccontextmanager
async def slow_store(port: int) -> AsyncIterator[str]:
    """The S3 sink as a process; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.slow_store", str(port), str(STORE_MS)]
    )
    address = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(trust_env=False) as http, asyncio.timeout(20):
            while True:
                try:
                    await http.get(address)
                    break
                except httpx2.ConnectError:
                    await asyncio.sleep(0.05)
        yield address
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def make_cases(
    http: httpx2.AsyncClient, source: str, count: int, documents: int
) -> list[str]:
    """New cases in the sandbox; their bare numbers."""
    numbers = []
    for seed in range(count):
        body = {"documents": documents, "size_bytes": 200_000, "seed": seed}
        reply = await http.post(f"{source}/control/cases", json=body)
        numbers.append(str(reply.raise_for_status().json()["number"]))
    return numbers


async def run_job(client: Client, number: str, job_options: JobOptions) -> float:
    """Seconds from the start of a job to its end."""
    began = time.perf_counter()
    handle: Any = await client.start_workflow(
        "DownloadProcessWorkflow",
        DownloadProcess(
            process_number=number, court=CaseNumber.parse(number).court, job_options=job_options
        ),
        id=job_workflow_id(number),
        task_queue=JOBS_QUEUE,
        start_signal="attach",
        start_signal_args=[Attach()],
    )
    result = await handle.result()
    if result["available"] != result["total"]:
        raise RuntimeError(f"The job of {number} did not get every document: {result}")
    return time.perf_counter() - began


async def run_script(script: BareScript, number: str, at_once: int) -> float:
    """Seconds the script takes for the same."""
    began = time.perf_counter()
    await script.download(number, at_once)
    return time.perf_counter() - began


async def measure(rounds: int, documents: int, jobs: int) -> None:
    """Let script and jobs take turns, and print what came out."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            slow_store(9777) as store,
            Stack(
                Path(folder),
                ports="free",
                parts=("postgres", "temporal", "sandbox", "migrations", "worker"),
                sandbox_latency_ms=SOURCE_MS,
                extra_environment={
                    "AUTOS_API_URL": "http://api.example",
                    "AUTOS_S3_ENDPOINT": store,
                    "AUTOS_S3_BUCKET": "bench",
                    "AUTOS_S3_ACCESS_KEY_ID": "synthetic-access-key",
                    "AUTOS_S3_SECRET_ACCESS_KEY": "synthetic-secret-key",
                    "AUTOS_SOURCE_MAX_IN_FLIGHT": str(AT_ONCE * jobs),
                },
            ) as stack,
            httpx2.AsyncClient(
                timeout=60, trust_env=False, limits=httpx2.Limits(max_connections=100)
            ) as http,
        ):
            environment = stack.settings_environment()
            client = await Client.connect(
                environment["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter
            )
            script = BareScript(environment, http)
            worker = psutil.Process(stack.pid("worker"))
            source = environment["AUTOS_PDPJ_BASE_URL"]
            numbers = await make_cases(http, source, (rounds + 1) * jobs, documents)
            ratios, cpu = [], []
            for turn in range(rounds + 1):
                mine = numbers[turn * jobs : (turn + 1) * jobs]
                scripted = await asyncio.gather(
                    *(run_script(script, number, AT_ONCE) for number in mine)
                )
                before = sum(worker.cpu_times()[:2])
                worked = await asyncio.gather(
                    *(run_job(client, number, JobOptions(batch_size=AT_ONCE)) for number in mine)
                )
                spent = (sum(worker.cpu_times()[:2]) - before) / (documents * jobs) * 1000
                ratio = max(scripted) / max(worked)
                label = f"round {turn}" if turn else "warm-up"
                print(
                    f"{label}: script {max(scripted):.2f} s, autos {max(worked):.2f} s, "
                    f"ratio {ratio:.2f}, worker CPU {spent:.1f} ms per document",
                    flush=True,
                )
                if turn:
                    ratios.append(ratio)
                    cpu.append(spent)
            print(
                f"{jobs} job(s) of {documents} documents, median of {rounds}: "
                f"ratio {statistics.median(ratios):.2f}, "
                f"worker CPU {statistics.median(cpu):.1f} ms per document"
            )
    # The last RPC and the end of the interpreter must not meet.
    await asyncio.sleep(0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=173)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.rounds, arguments.documents, arguments.jobs))
