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
# Measured: the first setting reduces the dispatch of a task from 50 ms to 16 ms, and a single
# partition (several are for many hosts) to 6 ms. The default time shift, for clocks that differ
# between hosts, would delay every timer by 1 s, and the default poll rate of the timer queue by
# another 60 ms. The query count allows many concurrent status requests for one job.
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
_PARTIAL_UPLOADS: Final = ".rclone_temp_put_*"
_GRACE_SECONDS: Final = 25.0
"""Longer than the 20 s that a worker gives its activities and the API its requests."""


@dataclass(frozen=True, slots=True)
class Process:
    """One run of a part: the process and its start time."""

    pid: int
    started_at: datetime


Readiness = Callable[[Process, httpx2.AsyncClient], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Part:
    """A program to run, and the check that it is ready."""

    name: str
    title: str
    stage: int
    """The parts of a stage start together, after all parts of the earlier stages are ready."""
    command: tuple[str, ...]
    ready: Readiness | None
    """None for a program that ends by itself; it is ready when it has exited with code 0."""
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    user: str = ""
    """The system user to run as; empty for the current one."""
    ports: frozenset[int] = frozenset()
    """`ready` is called only after the part's process listens on all of them."""
    prepare: Callable[[], None] | None = None
    """Called in a thread before each start; may block."""
    stop_signal: signal.Signals = signal.SIGTERM
    parent_death_signal: signal.Signals = signal.SIGKILL
    """Sent by the kernel when the supervisor is killed."""
    stop_seconds: float = 15.0
    """Seconds from `stop_signal` until the process is killed."""


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
            *(text for name, value in options.items() for text in ("-c", f"{name}={value}")),
        ),
        # No `ports`: PostgreSQL exits if its port is taken.
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
    # The readiness check uses the Web UI's API, which needs both the Web UI and the server.
    return Part(
        name="temporal",
        title="Temporal",
        stage=1,
        command=tuple(command),
        ready=_responds(f"{layout.url('temporal-ui')}/api/v1/namespaces/default"),
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
        # Remove partial uploads of a killed rclone, which are not objects.
        for partial in objects.rglob(_PARTIAL_UPLOADS):
            partial.unlink()

    return Part(
        name="s3",
        title="S3",
        stage=1,
        command=(
            *(_program("rclone"), "serve", "s3", str(objects), "--config", ""),
            *("--addr", f"{HOST}:{layout.ports['s3']}"),
        ),
        ready=_responds(layout.url("s3"), statuses=range(200, 500)),
        # Not passed as arguments, which every user of the machine can read. Quoted, because the
        # variable holds a list.
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
        command=_module("sandbox", *(text for pair in options.items() for text in pair)),
        ready=_responds(f"{layout.url('sandbox')}/control/", statuses=range(200, 500)),
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
    """A worker. It is ready when the task queue has been polled after its start.

    With an external Temporal server, whose HTTP address is unknown, it counts as ready at once.
    """

    async def polled(process: Process, client: httpx2.AsyncClient) -> bool:
        response = await client.get(
            f"{temporal_ui}/api/v1/namespaces/default/task-queues/{TASK_QUEUE}"
        )
        pollers = response.json().get("pollers", []) if response.is_success else []
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
        ready=_responds(f"{layout.url('api')}/health/live"),
        environment=part_environment("api", os.environ, settings),
        ports=frozenset({layout.ports["api"]}),
        stop_seconds=_GRACE_SECONDS,
    )


def _responds(url: str, statuses: range = range(200, 300)) -> Readiness:
    async def ready(_: Process, client: httpx2.AsyncClient) -> bool:
        return (await client.get(url)).status_code in statuses

    return ready


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def _program(name: str) -> str:
    """The path of a program: in the interpreter's folder, or on the PATH."""
    installed = Path(sys.executable).with_name(name)
    found = str(installed) if installed.exists() else shutil.which(name)
    if found is None:
        raise StackError(
            f"The program `{name}` is missing. Install the embedded parts with "
            "`pip install 'autos[embedded]'`, or run `make`."
        )
    return found
