"""The parts of the embedded stack: the program, environment and readiness check of each.

`runner` keeps one part running; `supervisor` starts and stops all of them in order.
"""

import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx2

from cli.stack.environment import (
    BUCKET,
    SANDBOX_TOKEN,
    StackLayout,
    part_environment,
    third_party_environment,
)
from cli.stack.ports import HOST
from cli.stack.postgres import Cluster
from cli.stack.state import StackError

TASK_QUEUE: Final = "autos"

_SEARCH_ATTRIBUTES: Final = (
    "ProcessNumber=Keyword Court=Keyword JobStatus=Keyword WaitingFor=Keyword "
    "WaitingSince=Datetime DocumentsTotal=Int DocumentsFailed=Int"
).split()
# Measured: the first setting reduces the server's hand-over of a task from 50 ms to 16, a single
# partition (several are for many hosts) from 16 to 6. The time shift (for clocks that differ
# between hosts) would delay every timer by 1 s, the timer queue's poll rate by another 60 ms. The
# query count admits many pollers of one job.
_TEMPORAL_CONFIGURATION: Final = (
    "history.transferProcessorMaxPollRPS=1000",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    'history.timerProcessorMaxTimeShift="1ms"',
    "history.timerProcessorMaxPollRPS=1000",
    "history.MaxBufferedQueryCount=100",
    "matching.enableFairness=true",
    "frontend.enableServerVersionCheck=false",
)
_UNFINISHED: Final = ".rclone_temp_put_*"
_GRACE_SECONDS: Final = 25.0
"""Above the 20 seconds that a worker gives its batches and the API its requests."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a part, from its start to its end."""

    pid: int
    started_at: datetime


Readiness = Callable[[Process, httpx2.AsyncClient], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Part:
    """One program to run, and how to tell when it is ready."""

    name: str
    title: str
    stage: int
    """Parts of a stage start together, once all parts of the earlier stages are ready."""
    command: tuple[str, ...]
    ready: Readiness | None
    """None: the program does its work and ends; it is ready when it has exited with code 0."""
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    user: str = ""
    """The system user to run as; empty for the current one."""
    ports: frozenset[int] = frozenset()
    """`ready` is called only once the part's own process listens on these."""
    prepare: Callable[[], None] | None = None
    """Called in a thread before each start; may block."""
    stop_signal: signal.Signals = signal.SIGTERM
    parent_death_signal: signal.Signals = signal.SIGKILL
    """Sent by the kernel when the supervisor is killed."""
    stop_seconds: float = 15.0
    """The time to stop in before the process is killed."""


def postgres(layout: StackLayout) -> Part:
    """PostgreSQL, from the binaries of a Python package."""
    cluster = Cluster(layout.data_dir / "postgres", layout.secrets.postgres_password)

    async def ready(process: Process, _: httpx2.AsyncClient) -> bool:
        return cluster.ready(process.pid)

    options = {
        "listen_addresses": HOST,
        "port": str(layout.ports["postgres"]),
        "unix_socket_directories": "",
        "max_connections": "200",
    }
    return Part(
        name="postgres",
        title="PostgreSQL",
        stage=1,
        command=(
            cluster.program,
            "-D",
            str(cluster.folder),
            *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
        ),
        # No `ports`: the server itself ends if its port is taken.
        ready=ready,
        environment=third_party_environment(os.environ),
        directory=cluster.folder,
        user=cluster.user,
        prepare=cluster.prepare,
        # PostgreSQL's "fast" and "immediate" shutdowns, which also end its child processes.
        stop_signal=signal.SIGINT,
        parent_death_signal=signal.SIGQUIT,
    )


def temporal(layout: StackLayout) -> Part:
    """Temporal's development server with its Web UI, on a file."""
    command = [
        *(_program("temporal"), "server", "start-dev"),
        *("--ip", HOST, "--port", str(layout.ports["temporal"])),
        *("--ui-port", str(layout.ports["temporal-ui"]), "--ui-disable-news-fetch"),
        *("--db-filename", str(layout.data_dir / "temporal.sqlite")),
        *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
        *("--log-level", "warn"),
    ]
    for value in _TEMPORAL_CONFIGURATION:
        command += ["--dynamic-config-value", value]
    for attribute in _SEARCH_ATTRIBUTES:
        command += ["--search-attribute", attribute]
    # The readiness check goes through the Web UI, which shows that both it and the server answer.
    return Part(
        name="temporal",
        title="Temporal",
        stage=1,
        command=tuple(command),
        ready=_answers(f"{layout.url('temporal-ui')}/api/v1/namespaces/default"),
        environment=third_party_environment(os.environ),
        directory=layout.data_dir,
        ports=frozenset({layout.ports["temporal"], layout.ports["temporal-ui"]}),
    )


def s3(layout: StackLayout) -> Part:
    """rclone, serving a folder as S3; each folder in it is a bucket."""
    objects = layout.data_dir / "objects"
    keys = layout.secrets

    def prepare() -> None:
        for folder in (objects, objects / BUCKET):
            folder.mkdir(mode=0o700, exist_ok=True)
        # Files that a killed rclone had not finished are not objects.
        for unfinished in objects.rglob(_UNFINISHED):
            unfinished.unlink()

    return Part(
        name="s3",
        title="S3",
        stage=1,
        command=(
            *(_program("rclone"), "serve", "s3", str(objects), "--config", ""),
            *("--addr", f"{HOST}:{layout.ports['s3']}"),
        ),
        ready=_answers(layout.url("s3"), statuses=range(200, 500)),
        # Not as arguments, which every user of the machine can read; quoted, because the variable
        # holds a list.
        environment=third_party_environment(os.environ)
        | {"RCLONE_AUTH_KEY": f'"{keys.s3_access_key_id},{keys.s3_secret_access_key}"'},
        directory=layout.data_dir,
        ports=frozenset({layout.ports["s3"]}),
        prepare=prepare,
    )


def sandbox(layout: StackLayout, settings: Mapping[str, str], latency_ms: float) -> Part:
    """The stand-in for PDPJ, which also receives webhooks."""
    options = {
        "--host": HOST,
        "--port": str(layout.ports["sandbox"]),
        "--latency-ms": str(latency_ms),
        "--token": SANDBOX_TOKEN,
    }
    return Part(
        name="sandbox",
        title="Sandbox",
        stage=1,
        command=_module("sandbox", *(word for pair in options.items() for word in pair)),
        ready=_answers(f"{layout.url('sandbox')}/control/", statuses=range(200, 500)),
        environment=part_environment("sandbox", os.environ, settings),
        ports=frozenset({layout.ports["sandbox"]}),
    )


def migrations(settings: Mapping[str, str]) -> Part:
    """Upgrades the database schema, then ends."""
    return Part(
        name="migrations",
        title="Migrations",
        stage=2,
        command=_module("cli", "migrate"),
        ready=None,
        environment=part_environment("migrations", os.environ, settings),
    )


def worker(number: int, settings: Mapping[str, str], temporal_ui: str | None) -> Part:
    """A worker. It is ready once the task queue has been polled after its start.

    With an external Temporal server, whose HTTP address is unknown, a running process is enough.
    """

    async def polled(process: Process, client: httpx2.AsyncClient) -> bool:
        answer = await client.get(
            f"{temporal_ui}/api/v1/namespaces/default/task-queues/{TASK_QUEUE}"
        )
        pollers = answer.json().get("pollers", []) if answer.is_success else []
        return any(
            datetime.fromisoformat(poller["lastAccessTime"]) >= process.started_at
            for poller in pollers
        )

    async def running(_: Process, __: httpx2.AsyncClient) -> bool:
        return True

    return Part(
        name="worker" if number == 1 else f"worker-{number}",
        title="Worker" if number == 1 else f"Worker {number}",
        stage=3,
        command=_module("worker"),
        ready=polled if temporal_ui else running,
        environment=part_environment("worker", os.environ, settings),
        stop_seconds=_GRACE_SECONDS,
    )


def api(layout: StackLayout, settings: Mapping[str, str]) -> Part:
    """The HTTP API."""
    return Part(
        name="api",
        title="API",
        stage=3,
        command=_module("api"),
        ready=_answers(f"{layout.url('api')}/health/live"),
        environment=part_environment("api", os.environ, settings),
        ports=frozenset({layout.ports["api"]}),
        stop_seconds=_GRACE_SECONDS,
    )


def _answers(url: str, statuses: range = range(200, 300)) -> Readiness:
    async def ready(_: Process, client: httpx2.AsyncClient) -> bool:
        return (await client.get(url)).status_code in statuses

    return ready


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def _program(name: str) -> str:
    """The path of a program, from beside the interpreter or from the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise StackError(
            f"The program `{name}` is missing. Install the embedded parts with "
            "`pip install 'autos[embedded]'`, or run `make`."
        )
    return found
