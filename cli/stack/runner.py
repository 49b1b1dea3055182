"""Keeps one part running: starts it, reports when it is ready, restarts it when it ends.

A part that has never been ready is started at most `_START_ATTEMPTS` times. A part that has been
ready is restarted as long as the stack runs, with exponential delays.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

import httpx2

from cli.stack.ports import listens
from cli.stack.servers import Part, Process
from cli.stack.state import ProcessList, StackError, open_private

_DIE_WITH_PARENT: Final = Path(__file__).with_name("die_with_parent.py")
_FIRST_DELAY: Final = 0.2
_MAX_DELAY: Final = 10.0
_HEALTHY_SECONDS: Final = 30.0
"""A run of this length resets the delay."""
_START_ATTEMPTS: Final = 3
_PROBE_SECONDS: Final = 0.05
_LOG_LINES: Final = 12


@dataclass
class RunnerContext:
    """Objects that all runners of a stack share."""

    logs: Path
    processes: ProcessList
    client: httpx2.AsyncClient
    announce: Callable[[str], None]


class Runner:
    """One part and its process."""

    def __init__(self, part: Part, context: RunnerContext) -> None:
        self.part = part
        self.log = context.logs / f"{part.name}.log"
        self._context = context
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._keep_alive = False
        self._was_ready = False

    @property
    def pid(self) -> int | None:
        """The pid of the running process, or None."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Start the part and keep it running; does nothing if it is started already."""
        if self._task is None or self._task.done():
            self._ready.clear()
            self._keep_alive = True
            self._was_ready = False
            self._task = asyncio.create_task(self._keep_running(), name=f"part-{self.part.name}")

    async def wait_ready(self, seconds: float) -> None:
        """Wait until the part is ready.

        Raises:
            StackError: it was not ready in time, or its start failed.
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
            f"{self.part.title} was not ready within {seconds:.0f} s. {self._log_tail()}"
        )

    async def kill(self, *, stay_down: bool) -> None:
        """Kill the process as a crash would, and wait until it has ended."""
        self._ready.clear()
        self._keep_alive = self._keep_alive and not stay_down
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        elif stay_down and self._task is not None:
            # No process runs at the moment; the next one must not start.
            self._task.cancel()
        if stay_down and self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def stop(self) -> None:
        """Stop the process, kill it if it does not stop in time, and do not restart it."""
        self._keep_alive = False
        task = self._task
        if task is None:
            return
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(self.part.stop_signal)
            await asyncio.wait({task}, timeout=self.part.stop_seconds)
            if process.returncode is None:
                self._context.announce(
                    f"{self.part.title} did not stop within {self.part.stop_seconds:.0f} s; "
                    "killing it."
                )
                process.kill()
        else:
            # No process runs at the moment.
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._ready.clear()

    async def _keep_running(self) -> None:
        delay = _FIRST_DELAY
        attempts = 0
        while True:
            started = monotonic()
            attempts += 1
            try:
                code = await self._run_once()
            except (OSError, StackError) as error:
                if not self._was_ready:
                    raise StackError(f"{self.part.title} does not start. {error}") from error
                reason = str(error)
            else:
                if self.part.ready is None and code == 0:
                    self._ready.set()
                    return
                reason = _describe(code)
            if not self._keep_alive:
                return
            if not self._was_ready and attempts >= _START_ATTEMPTS:
                raise StackError(f"{self.part.title} does not start ({reason}). {self._log_tail()}")
            if monotonic() - started > _HEALTHY_SECONDS:
                delay = _FIRST_DELAY
            self._context.announce(
                f"{self.part.title} ended unexpectedly ({reason}); restarting it."
            )
            await asyncio.sleep(delay)
            delay = min(delay * 2, _MAX_DELAY)

    async def _run_once(self) -> int:
        """Run the process until it ends; returns its exit code."""
        part = self.part
        if part.prepare is not None:
            await _run_in_thread(part.prepare)
        process = self._process = await self._spawn()
        started = Process(process.pid, datetime.now(UTC))
        self._context.processes.add(part.name, process.pid)
        probe = asyncio.create_task(self._probe(started))
        try:
            return await process.wait()
        finally:
            self._ready.clear()
            probe.cancel()
            with suppress(asyncio.CancelledError):
                await probe
            # Kill child processes that are still running.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            self._context.processes.remove(part.name)

    async def _spawn(self) -> asyncio.subprocess.Process:
        part = self.part
        with open_private(self.log) as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_DIE_WITH_PARENT)),
                *(str(os.getpid()), str(int(part.parent_death_signal)), part.user),
                *part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Without buffering, the log of a killed part is complete.
                env={**part.environment, "PYTHONUNBUFFERED": "1"},
                cwd=part.directory,
                # Ctrl-C reaches only the supervisor, which stops the parts in order.
                start_new_session=True,
            )

    async def _probe(self, process: Process) -> None:
        ready, ports = self.part.ready, self.part.ports
        if ready is None:
            return
        while True:
            with suppress(httpx2.TransportError):
                # Another program may hold the port and must not receive a request.
                listening = not ports or await asyncio.to_thread(listens, process.pid, ports)
                if listening and await ready(process, self._context.client):
                    break
            await asyncio.sleep(_PROBE_SECONDS)
        self._was_ready = True
        self._ready.set()

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join([f"The end of {self.log}:", *lines])


async def _run_in_thread(prepare: Callable[[], None]) -> None:
    """Run `prepare` in a thread. A cancellation takes effect when the thread has ended.

    A thread cannot be cancelled, and the next start of the part uses the same folder.
    """
    preparing = asyncio.create_task(asyncio.to_thread(prepare))
    try:
        await asyncio.shield(preparing)
    except asyncio.CancelledError:
        await asyncio.gather(preparing, return_exceptions=True)
        raise


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
