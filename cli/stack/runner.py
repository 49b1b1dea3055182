"""Keeps one part running: starts it, tells when it is ready, starts it again when it dies.

A part that dies before it was ever ready is tried a few times only; one that was ready once is
brought back for as long as the stack runs, ever more slowly while it keeps dying.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import httpx2

from cli.stack.errors import StackError
from cli.stack.leftovers import Leftovers
from cli.stack.parts import Life, Part, now
from cli.stack.sockets import listens
from cli.stack.state import open_private

_LEASH: Final = Path(__file__).with_name("leash.py")
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 10.0
_HEALTHY_SECONDS: Final = 30.0
"""A life this long makes the next delay short again."""
_START_ATTEMPTS: Final = 3
_PROBE_SECONDS: Final = 0.05
_LOG_LINES: Final = 12


@dataclass
class Surroundings:
    """What all runners of one stack share."""

    logs: Path
    leftovers: Leftovers
    client: httpx2.AsyncClient
    announce: Callable[[str], None]


class Runner:
    """One part and its process."""

    def __init__(self, part: Part, surroundings: Surroundings) -> None:
        self.part = part
        self.log = surroundings.logs / f"{part.name}.log"
        self._surroundings = surroundings
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = False
        self._was_ready = False

    @property
    def pid(self) -> int | None:
        """The pid of the running process, or None."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Begin to keep the part running; does nothing if that is so already."""
        if self._task is None or self._task.done():
            self._ready.clear()
            self._wanted = True
            self._was_ready = False
            self._task = asyncio.create_task(self._keep_running(), name=f"part-{self.part.name}")

    async def wait_ready(self, seconds: float) -> None:
        """Wait until the part is ready.

        Raises:
            StackError: it was not ready in time, or its start failed for good.
        """
        if self._task is None:
            raise StackError(f"{self.part.title} was not started.")
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({ready, self._task}, timeout=seconds, return_when="FIRST_COMPLETED")
        ready.cancel()
        if self._ready.is_set():
            return
        if self._task.done():
            await self._task
        raise StackError(
            f"{self.part.title} was not ready within {seconds:.0f} s. {self._last_words()}"
        )

    async def kill(self, *, stay_down: bool) -> None:
        """Kill the process as a crash would, and wait until it is gone."""
        self._ready.clear()
        self._wanted = self._wanted and not stay_down
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        elif stay_down and self._task is not None:
            # Between two lives the next one must not begin.
            self._task.cancel()
        if stay_down and self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def stop(self) -> None:
        """Ask the process to end, kill it if it does not, and do not start it again."""
        self._wanted = False
        task = self._task
        if task is None:
            return
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(self.part.stop_signal)
            await asyncio.wait({task}, timeout=self.part.patience)
            if process.returncode is None:
                self._surroundings.announce(
                    f"{self.part.title} did not stop within {self.part.patience:.0f} s; killing it."
                )
                process.kill()
        else:
            # Between two lives there is nothing to wait for.
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._ready.clear()

    async def _keep_running(self) -> None:
        delay = _FIRST_DELAY
        attempts = 0
        while True:
            born = monotonic()
            attempts += 1
            try:
                code = await self._live()
            except (OSError, StackError) as failed:
                if not self._was_ready:
                    raise StackError(f"{self.part.title} does not start. {failed}") from failed
                ending = str(failed)
            else:
                if self.part.once and code == 0:
                    self._ready.set()
                    return
                ending = _describe(code)
            if not self._wanted:
                return
            if not self._was_ready and attempts >= _START_ATTEMPTS:
                raise StackError(
                    f"{self.part.title} does not start ({ending}). {self._last_words()}"
                )
            if monotonic() - born > _HEALTHY_SECONDS:
                delay = _FIRST_DELAY
            self._surroundings.announce(
                f"{self.part.title} ended by itself ({ending}); starting it again."
            )
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    async def _live(self) -> int:
        """One life of the process, from its start to its exit code."""
        part = self.part
        if part.prepare is not None:
            await asyncio.to_thread(part.prepare)
        process = self._process = await self._spawn()
        life = Life(process.pid, now())
        self._surroundings.leftovers.record(part.name, process.pid)
        probe = asyncio.create_task(self._probe(life))
        try:
            return await process.wait()
        finally:
            self._ready.clear()
            probe.cancel()
            with suppress(asyncio.CancelledError):
                await probe
            # What the process itself started and did not take along.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            self._surroundings.leftovers.forget(part.name)

    async def _spawn(self) -> asyncio.subprocess.Process:
        part = self.part
        with open_private(self.log) as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_LEASH)),
                *(str(os.getpid()), str(int(part.leash_signal)), part.user),
                *part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_as_environment(part.environment),
                cwd=part.directory,
                # Ctrl-C at the terminal is for us alone; we stop the parts, in order.
                start_new_session=True,
            )

    async def _probe(self, life: Life) -> None:
        while True:
            with suppress(httpx2.TransportError):
                if await self._listens(life) and await self.part.ready(
                    life, self._surroundings.client
                ):
                    break
            await asyncio.sleep(_PROBE_SECONDS)
        self._was_ready = True
        self._ready.set()

    async def _listens(self, life: Life) -> bool:
        """Whether it is the part itself that would answer, and no stranger on its port."""
        ports = set(self.part.ports)
        return not ports or await asyncio.to_thread(listens, life.pid, ports)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join([f"The end of {self.log}:", *lines])


def _as_environment(environment: Mapping[str, str]) -> dict[str, str]:
    # The data folder's parts must not die of a full pipe or buffer their logs for minutes.
    return {**environment, "PYTHONUNBUFFERED": "1"}


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
