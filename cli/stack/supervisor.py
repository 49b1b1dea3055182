"""The embedded stack: real servers as child processes, started and stopped in order.

For demos and tests on one machine. It restarts parts that end, and their data survives restarts. It
does not replace a process manager in production.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from io import BufferedWriter
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

import httpx2

from cli.stack import servers
from cli.stack.environment import StackLayout
from cli.stack.ports import PortChoice, choose, is_free
from cli.stack.runner import Runner, RunnerContext
from cli.stack.servers import Part
from cli.stack.state import ProcessList, StackError, StackState, restrict_folder, take_lock

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
"""The setting with the address of an external server that replaces a part."""
_HTTP_ADDRESSES: Final[Mapping[str, str]] = {
    "temporal-ui": "temporal",
    "s3": "s3",
    "sandbox": "sandbox",
    "api": "api",
}
"""The part that each name in `Stack.addresses` belongs to."""


def _silent(_: str) -> None:
    """Discard a message."""


def _unchanged(_: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    return environment


class Stack:
    """The parts of one data folder. Use it as `async with Stack(data_dir) as stack:`.

    Args:
        data_dir: where the parts keep their data; created if it does not exist.
        parts: which parts to start.
        workers: how many worker processes to start.
        sandbox_latency_ms: delay of each document that the sandbox sends.
        ports: `default` prefers the well-known ports; `free` uses any free ports.
        extra_environment: settings that override the stack's. A part whose address is set here is
            not started.
        environment_of: returns the changed settings of the workers or the API; called with the name
            of the part and its settings.
        announce: called with a message for each step.
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
        # Empty values are ignored: a copied `.env.example` has them.
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
        self._lock: BufferedWriter | None = None
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
            StackError: a part did not start; all other parts are stopped again.
        """
        self._lock = take_lock(self.data_dir)
        try:
            await self._start_on_free_ports()
        except BaseException:
            await self.down()
            raise

    async def down(self) -> None:
        """Stop all parts, in reverse order of their start."""
        await self._stop_all()
        await self._client.aclose()
        if self._lock is not None:
            self._lock.close()

    def settings_environment(self) -> dict[str, str]:
        """The `AUTOS_*` and `TEMPORAL_*` variables for a process that uses this stack."""
        return dict(self._state.environment)

    @property
    def addresses(self) -> dict[str, str]:
        """The URLs of the parts that serve HTTP, by name."""
        return dict(self._state.addresses)

    def pid(self, name: str) -> int | None:
        """The pid of a part's running process."""
        return self._runner(name).pid

    def start(self, name: str) -> None:
        """Start a part that was stopped, or killed with `stay_down`."""
        self._runner(name).start()

    async def stop(self, name: str) -> None:
        """Stop one part gracefully; the stack does not restart it."""
        await self._runner(name).stop()

    async def kill(self, name: str, *, stay_down: bool = False) -> None:
        """Kill one part with SIGKILL; the stack restarts it unless `stay_down` is true."""
        await self._runner(name).kill(stay_down=stay_down)

    async def wait_ready(self, name: str, seconds: float = _READY_SECONDS) -> None:
        """Wait until a part is ready (again)."""
        await self._runner(name).wait_ready(seconds)

    async def _start_on_free_ports(self) -> None:
        """Start all parts; retry on other ports if another program took a port during the start."""
        for retries_left in reversed(range(_STARTS)):
            try:
                await self._start_all()
            except StackError:
                await self._stop_all()
                own_ports = (self._state.ports[name] for name in self._port_names())
                if not retries_left or all(is_free(port) for port in own_ports):
                    raise
                self._announce("Another program took a port during the start; starting again.")
            else:
                return

    async def _stop_all(self) -> None:
        for stage in sorted({runner.part.stage for runner in self._runners.values()}, reverse=True):
            await asyncio.gather(*(runner.stop() for runner in self._stage(stage)))

    async def _start_all(self) -> None:
        restrict_folder(self.data_dir)
        processes = ProcessList(self.data_dir)
        for name in await asyncio.to_thread(processes.end_leftovers):
            self._announce(f"Ended the {name} process of an earlier start.")
        layout = self._prepare_state()
        logs = self.data_dir / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        context = RunnerContext(logs, processes, self._client, self._announce)
        parts = [part for name in self._names for part in self._parts(name, layout)]
        self._runners = {part.name: Runner(part, context) for part in parts}
        for stage in sorted({runner.part.stage for runner in self._runners.values()}):
            started = monotonic()
            for runner in self._stage(stage):
                runner.start()
            await asyncio.gather(*(self._await_start(r, started) for r in self._stage(stage)))

    async def _await_start(self, runner: Runner, started: float) -> None:
        await runner.wait_ready(_READY_SECONDS)
        self._announce(f"{runner.part.title} ready in {monotonic() - started:.1f} s")

    def _prepare_state(self) -> StackLayout:
        """Choose the ports and write `stack.json`."""
        state = StackState.load(self.data_dir) or StackState()
        previous = dict(state.ports)
        if "AUTOS_API_PORT" in self._extra:
            previous["api"] = int(self._extra["AUTOS_API_PORT"])
        state.ports |= choose(self._port_names(), previous, self._port_choice, self._announce)
        layout = StackLayout(self.data_dir, state.ports, state.secrets)
        state.environment = layout.settings(self._names) | self._extra
        if "api" in self._names:
            # The port that the API listens on; the requested port may be in use.
            state.environment["AUTOS_API_PORT"] = str(state.ports["api"])
        state.addresses = {
            name: layout.url(name) for name, part in _HTTP_ADDRESSES.items() if part in self._names
        }
        state.save(self.data_dir)
        self._state = state
        return layout

    def _port_names(self) -> list[str]:
        return [port for name in self._names for port in _PORTS_OF.get(name, ())]

    def _parts(self, name: str, layout: StackLayout) -> list[Part]:
        settings = self._state.environment
        match name:
            case "postgres":
                return [servers.postgres(layout)]
            case "temporal":
                return [servers.temporal(layout)]
            case "s3":
                return [servers.s3(layout)]
            case "sandbox":
                return [servers.sandbox(layout, settings, self._sandbox_latency_ms)]
            case "migrations":
                return [servers.migrations(settings)]
            case "worker":
                settings = dict(self._environment_of("worker", settings))
                web_ui = self._state.addresses.get("temporal-ui")
                numbers = range(1, self._workers + 1)
                return [servers.worker(number, settings, web_ui) for number in numbers]
            case "api":
                return [servers.api(layout, self._environment_of("api", settings))]
            case _:
                raise StackError(
                    f"There is no part {name}. The parts are: {', '.join(EVERYTHING)}."
                )

    def _stage(self, stage: int) -> list[Runner]:
        return [runner for runner in self._runners.values() if runner.part.stage == stage]

    def _runner(self, name: str) -> Runner:
        try:
            return self._runners[name]
        except KeyError:
            raise StackError(
                f"There is no part {name}. The parts are: {', '.join(self._runners)}."
            ) from None
