"""The embedded stack: real servers as child processes of this one, started and stopped in order.

For one machine: demos, tests, a first try. It keeps its parts alive and their data over restarts;
it does not replace a process manager in production, where each part has its own.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

import httpx2

from cli.stack import parts as catalogue
from cli.stack.errors import StackError
from cli.stack.leftovers import Leftovers
from cli.stack.lock import Lock
from cli.stack.parts import BUCKET, Ground, Part
from cli.stack.ports import HOST, PortChoice, choose, is_free
from cli.stack.runner import Runner, Surroundings
from cli.stack.state import StackState, close_folder

SERVERS: Final = ("postgres", "temporal", "s3")
EVERYTHING: Final = (*SERVERS, "sandbox", "migrations", "worker", "api")

_READY_SECONDS: Final = 60.0
_STARTS: Final = 3
_PROBE_TIMEOUT_SECONDS: Final = 2.0
_PORTS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "postgres": ("postgres",),
    "temporal": ("temporal", "temporal-ui"),
    "s3": ("s3",),
    "sandbox": ("sandbox",),
    "api": ("api",),
}
_ADDRESS_OF: Final[Mapping[str, str]] = {
    "postgres": "AUTOS_DATABASE_URL",
    "temporal": "TEMPORAL_ADDRESS",
    "s3": "AUTOS_S3_ENDPOINT",
    "sandbox": "AUTOS_PDPJ_BASE_URL",
}


def _silent(_: str) -> None:
    """Say nothing."""


def _unchanged(_: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    return environment


class Stack:
    """The parts of one data folder. Use it as `async with Stack(data_dir) as stack:`.

    A variable in `extra_environment` wins over the stack's own value, and a part whose address is
    given there is not started: somebody else runs it. `environment_of` has the last word on the
    environment of a worker or the API, by the part's name.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        parts: Iterable[str] = EVERYTHING,
        workers: int = 1,
        sandbox_latency_ms: float = 0,
        ports: PortChoice = "default",
        extra_environment: Mapping[str, str] | None = None,
        environment_of: Callable[[str, Mapping[str, str]], Mapping[str, str]] = _unchanged,
        announce: Callable[[str], None] = _silent,
    ) -> None:
        self.data_dir = data_dir.absolute()
        # An empty value gives nothing, as in a copied `.env.example`.
        given = (extra_environment or {}).items()
        self._extra = {name: value for name, value in given if value}
        self._names = [name for name in parts if _ADDRESS_OF.get(name, "") not in self._extra]
        self._workers = workers
        self._sandbox_latency_ms = sandbox_latency_ms
        self._port_choice: PortChoice = ports
        self._environment_of = environment_of
        self._announce = announce
        self._runners: dict[str, Runner] = {}
        self._state = StackState()
        self._lock = Lock(self.data_dir)
        self._client = httpx2.AsyncClient(timeout=_PROBE_TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.down()

    async def up(self) -> None:
        """Start every part and wait until each is ready.

        Raises:
            AlreadyRunning: another process runs the stack on this folder.
            StackError: a part does not start; everything is stopped again.
        """
        self._lock.take()
        try:
            await self._start_on_free_ports()
        except BaseException:
            await self.down()
            raise

    async def down(self) -> None:
        """Stop every part, the last started first, and leave no process behind."""
        await self._stop_all()
        await self._client.aclose()
        self._lock.release()

    def settings_environment(self) -> dict[str, str]:
        """The `AUTOS_*` and `TEMPORAL_*` variables by which a process joins this stack."""
        return dict(self._state.environment)

    @property
    def addresses(self) -> dict[str, str]:
        """What answers where, by name."""
        return dict(self._state.addresses)

    def pid(self, name: str) -> int | None:
        """The pid of a part's running process."""
        return self._runner(name).pid

    def start(self, name: str) -> None:
        """Start a part that was stopped or killed to stay down."""
        self._runner(name).start()

    async def stop(self, name: str) -> None:
        """Stop one part in good order; it stays down."""
        await self._runner(name).stop()

    async def kill(self, name: str, *, stay_down: bool = False) -> None:
        """Kill one part with SIGKILL; the stack starts it again unless it is to stay down."""
        await self._runner(name).kill(stay_down=stay_down)

    async def wait_ready(self, name: str, seconds: float = _READY_SECONDS) -> None:
        """Wait until a part is ready (again)."""
        await self._runner(name).wait_ready(seconds)

    async def _start_on_free_ports(self) -> None:
        """Start everything, and once more on other ports where a stranger took one meanwhile."""
        for starts_left in reversed(range(_STARTS)):
            try:
                await self._start_all()
            except StackError:
                await self._stop_all()
                own_ports = (self._state.ports[name] for name in self._port_names())
                if not starts_left or all(is_free(port) for port in own_ports):
                    raise
                self._announce("A port was taken while the stack started; starting again.")
            else:
                return

    async def _stop_all(self) -> None:
        for stage in sorted({runner.part.stage for runner in self._runners.values()}, reverse=True):
            await asyncio.gather(*(runner.stop() for runner in self._stage(stage)))

    async def _start_all(self) -> None:
        close_folder(self.data_dir)
        leftovers = Leftovers(self.data_dir)
        for name in await asyncio.to_thread(leftovers.sweep):
            self._announce(f"Ended the {name} that an earlier start had left running.")
        self._state = self._prepare_state()
        logs = self.data_dir / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        surroundings = Surroundings(logs, leftovers, self._client, self._announce)
        self._runners = {part.name: Runner(part, surroundings) for part in self._parts()}
        for stage in sorted({runner.part.stage for runner in self._runners.values()}):
            began = monotonic()
            for runner in self._stage(stage):
                runner.start()
            await asyncio.gather(*(self._await_start(r, began) for r in self._stage(stage)))

    async def _await_start(self, runner: Runner, began: float) -> None:
        await runner.wait_ready(_READY_SECONDS)
        self._announce(f"{runner.part.title} ready in {monotonic() - began:.1f} s")

    def _prepare_state(self) -> StackState:
        state = StackState.load(self.data_dir) or StackState()
        kept = dict(state.ports)
        if "AUTOS_API_PORT" in self._extra:
            kept["api"] = int(self._extra["AUTOS_API_PORT"])
        state.ports |= choose(self._port_names(), kept, self._port_choice, self._announce)
        state.environment = self._environment(Ground(self.data_dir, state.ports, state.secrets))
        state.addresses = self._addresses(state)
        state.save(self.data_dir)
        return state

    def _port_names(self) -> list[str]:
        return [port for name in self._names for port in _PORTS_OF.get(name, ())]

    def _environment(self, ground: Ground) -> dict[str, str]:
        secrets = ground.secrets
        environment = {
            "AUTOS_DATA_DIR": str(self.data_dir),
            "AUTOS_SECRET_KEY": secrets.secret_key,
            "AUTOS_ADMIN_KEY": secrets.admin_key,
            "AUTOS_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        if "postgres" in self._names:
            environment["AUTOS_DATABASE_URL"] = catalogue.database_url(ground)
        if "temporal" in self._names:
            environment["TEMPORAL_ADDRESS"] = f"{HOST}:{ground.ports['temporal']}"
        if "s3" in self._names:
            environment |= {
                "AUTOS_S3_ENDPOINT": ground.url("s3"),
                "AUTOS_S3_BUCKET": BUCKET,
                "AUTOS_S3_ACCESS_KEY_ID": secrets.s3_access_key_id,
                "AUTOS_S3_SECRET_ACCESS_KEY": secrets.s3_secret_access_key,
                "AUTOS_S3_REGION": "us-east-1",
            }
        if "sandbox" in self._names:
            environment["AUTOS_PDPJ_BASE_URL"] = ground.url("sandbox")
            environment["AUTOS_PDPJ_TOKEN"] = catalogue.SANDBOX_TOKEN
            environment["AUTOS_PDPJ_TOKEN_URL"] = (
                ground.url("sandbox") + catalogue.SANDBOX_TOKEN_PATH
            )
            # It need not be spared like the real source, and a demo should not take long.
            environment["AUTOS_RETRY_UNIT_SECONDS"] = "0.1"
        if "api" in self._names:
            environment |= {
                "AUTOS_API_HOST": HOST,
                "AUTOS_API_URL": ground.url("api"),
            }
        environment |= self._extra
        if "api" in self._names:
            # Where the port asked for is taken, what counts is where the API really listens.
            environment["AUTOS_API_PORT"] = str(ground.ports["api"])
        return environment

    def _addresses(self, state: StackState) -> dict[str, str]:
        ports = state.ports
        named = {"temporal-ui": "temporal", "s3": "s3", "sandbox": "sandbox"}
        addresses = {
            name: f"http://{HOST}:{ports[name]}"
            for name, part in named.items()
            if part in self._names
        }
        if "api" in self._names:
            addresses["api"] = f"http://{HOST}:{ports['api']}"
        return addresses

    def _parts(self) -> list[Part]:
        ground = Ground(self.data_dir, self._state.ports, self._state.secrets)
        settings = self._state.environment
        addresses = self._state.addresses
        made: dict[str, Callable[[], list[Part]]] = {
            "postgres": lambda: [catalogue.postgres(ground)],
            "temporal": lambda: [catalogue.temporal(ground)],
            "s3": lambda: [catalogue.s3(ground)],
            "sandbox": lambda: [catalogue.sandbox(ground, settings, self._sandbox_latency_ms)],
            "migrations": lambda: [catalogue.migrations(settings)],
            "worker": lambda: [
                catalogue.worker(
                    number, self._environment_of("worker", settings), addresses.get("temporal-ui")
                )
                for number in range(1, self._workers + 1)
            ],
            "api": lambda: [catalogue.api(ground, self._environment_of("api", settings))],
        }
        return [part for name in self._names for part in made[name]()]

    def _stage(self, stage: int) -> list[Runner]:
        return [runner for runner in self._runners.values() if runner.part.stage == stage]

    def _runner(self, name: str) -> Runner:
        try:
            return self._runners[name]
        except KeyError:
            raise StackError(
                f"There is no part {name}; there are {', '.join(self._runners)}."
            ) from None
