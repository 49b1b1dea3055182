"""What breaks between parts that live: frozen processes, cut or silent connections, no room left.

A harm is done for some seconds and then put right; what it did stays for the parts to deal with.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.stack import Stack
from cli.stack.ports import HOST

HARMS: Final[Mapping[str, tuple[float, float]]] = {
    "freeze worker": (40, 40),
    "freeze api": (1, 8),
    "freeze temporal": (1, 8),
    "freeze postgres": (1, 12),
    "freeze s3": (1, 8),
    "cut worker from database": (2, 25),
    "swallow database answers": (2, 25),
    "drop database connections": (0, 0),
    "fill spool": (1, 6),
    "fill bucket": (1, 6),
}
"""By name: the shortest and the longest time in seconds. A worker is missed after some 15 s, so a
frozen one comes back as a zombie whose work was given away."""

NEEDS_MOUNTS: Final = frozenset({"fill spool", "fill bucket"})
_ROOM: Final = "4g"
_TRIES: Final = 20


class DatabaseLine:
    """A TCP line to the database that can be cut, or go silent without being closed."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._target = (HOST, 0)
        self._open: set[asyncio.StreamWriter] = set()
        self._refusing = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def listen(self) -> int:
        """Begin to listen; the port."""
        self._server = await asyncio.start_server(self._carry, HOST, 0)
        return int(self._server.sockets[0].getsockname()[1])

    def lead_to(self, port: int) -> None:
        """Name the database's own port."""
        self._target = (HOST, port)

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._refusing = True
        for writer in self._open:
            writer.transport.abort()

    def silence(self) -> None:
        """Let requests through and hold every answer back."""
        self._flowing.clear()

    def mend(self) -> None:
        """Carry everything again."""
        self._refusing = False
        self._flowing.set()

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
        self.cut()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, far_writer, None))
                both.create_task(_pump(far_reader, writer, self._flowing))
        finally:
            self._open -= ends


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event | None
) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            if flowing is not None:
                await flowing.wait()
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


def can_mount() -> bool:
    """True where this process may mount file systems of its own."""
    return os.geteuid() == 0 and Path("/proc/mounts").exists()


class Room:
    """A folder on a file system of its own that can be made full, and roomy again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> None:
        """Mount it, empty.

        Raises:
            CalledProcessError: this system does not let us.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={_ROOM},mode=0700", "autos-drill", self._folder)

    def fill(self) -> None:
        """Shrink it to what it holds.

        Raises:
            CalledProcessError: it was written to in between, every time.
        """
        for left in reversed(range(_TRIES)):
            room = os.statvfs(self._folder)
            used = max(1, room.f_blocks - room.f_bfree) * room.f_frsize
            try:
                self._resize(str(used))
            except subprocess.CalledProcessError:
                if not left:
                    raise
            else:
                return

    def empty(self) -> None:
        """Give it its room back."""
        self._resize(_ROOM)

    def remove(self) -> None:
        """Unmount it."""
        _run("umount", "--lazy", self._folder)

    def _resize(self, size: str) -> None:
        _run("mount", "-o", f"remount,size={size}", self._folder)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Harms:
    """Does harm to one running stack, and puts it right."""

    def __init__(
        self,
        stack: Stack,
        database: AsyncEngine,
        worker_line: DatabaseLine,
        api_line: DatabaseLine,
        rooms: Mapping[str, Room],
    ) -> None:
        self._stack = stack
        self._database = database
        self._worker_line = worker_line
        self._api_line = api_line
        self._rooms = rooms

    async def do(self, name: str, seconds: float) -> None:
        """Do it, wait, and put it right, whatever comes between."""
        begin, end = self._deed(name)
        await begin()
        try:
            await asyncio.sleep(seconds)
        finally:
            await end()

    def _deed(
        self, name: str
    ) -> tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]:
        match name.split():
            case ["freeze", part]:
                # The very processes that were frozen: one that died meanwhile has successors.
                frozen: list[psutil.Process] = []
                return (
                    lambda: self._freeze(part, frozen),
                    lambda: self._thaw(frozen),
                )
            case ["cut", *_]:
                return _later(self._worker_line.cut), _later(self._worker_line.mend)
            case ["swallow", *_]:
                return _later(self._silence), _later(self._mend)
            case ["drop", *_]:
                return self._drop_connections, _later(lambda: None)
            case ["fill", what] if what in self._rooms:
                room = self._rooms[what]
                return _aside(room.fill), _aside(room.empty)
            case _:
                # Without rooms of their own there is nothing that could be filled.
                return _later(lambda: None), _later(lambda: None)

    async def _freeze(self, part: str, frozen: list[psutil.Process]) -> None:
        pid = self._stack.pid(part)
        if pid is None:
            return
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            frozen += [process, *process.children(recursive=True)]
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    async def _thaw(self, frozen: list[psutil.Process]) -> None:
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def _silence(self) -> None:
        self._worker_line.silence()
        self._api_line.silence()

    def _mend(self) -> None:
        self._worker_line.mend()
        self._api_line.mend()

    async def _drop_connections(self) -> None:
        async with self._database.connect() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )


def _later(deed: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        deed()

    return do


def _aside(deed: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        await asyncio.to_thread(deed)

    return do
