"""Harms to running parts: frozen processes, cut or silent connections, full disks.

A harm lasts for some seconds and is then undone; the parts have to handle its effects.
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
"""Minimum and maximum seconds by name. A worker times out after some 15 s, so a frozen one resumes
after its work was given to another worker."""

NEEDS_MOUNTS: Final = frozenset({"fill spool", "fill bucket"})
_ROOM: Final = "4g"
_TRIES: Final = 20


class DatabaseLine:
    """A TCP proxy of the database whose connections can be cut or go silent."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._target = (HOST, 0)
        self._open: set[asyncio.StreamWriter] = set()
        self._refusing = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def listen(self) -> int:
        """Start to listen; returns the port."""
        self._server = await asyncio.start_server(self._carry, HOST, 0)
        return int(self._server.sockets[0].getsockname()[1])

    def lead_to(self, port: int) -> None:
        """Set the database's port."""
        self._target = (HOST, port)

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._refusing = True
        for writer in self._open:
            writer.transport.abort()

    def unchanged(self) -> None:
        """Forward requests and hold back responses."""
        self._flowing.clear()

    def restore(self) -> None:
        """Forward everything again."""
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
    """A folder on a separate file system that can be filled and emptied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> None:
        """Mount it, empty.

        Raises:
            CalledProcessError: mounting is not permitted.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={_ROOM},mode=0700", "autos-drill", self._folder)

    def fill(self) -> None:
        """Shrink it to its current content.

        Raises:
            CalledProcessError: it was written to during every try.
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
        """Restore its size."""
        self._resize(_ROOM)

    def remove(self) -> None:
        """Unmount it."""
        _run("umount", "--lazy", self._folder)

    def _resize(self, size: str) -> None:
        _run("mount", "-o", f"remount,size={size}", self._folder)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Harms:
    """Applies harms to one running stack and undoes them."""

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
        """Apply a harm, wait, and undo it, even on errors."""
        begin, end = self._action(name)
        await begin()
        try:
            await asyncio.sleep(seconds)
        finally:
            await end()

    def _action(
        self, name: str
    ) -> tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]:
        match name.split():
            case ["freeze", part]:
                # The frozen processes themselves: a process that died has successors.
                frozen: list[psutil.Process] = []
                return (
                    lambda: self._freeze(part, frozen),
                    lambda: self._thaw(frozen),
                )
            case ["cut", *_]:
                return _later(self._worker_line.cut), _later(self._worker_line.restore)
            case ["swallow", *_]:
                return _later(self._silence), _later(self._restore)
            case ["drop", *_]:
                return self._drop_connections, _later(lambda: None)
            case ["fill", what] if what in self._rooms:
                room = self._rooms[what]
                return _aside(room.fill), _aside(room.empty)
            case _:
                # Without separate file systems nothing can be filled.
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
        self._worker_line.unchanged()
        self._api_line.unchanged()

    def _restore(self) -> None:
        self._worker_line.restore()
        self._api_line.restore()

    async def _drop_connections(self) -> None:
        async with self._database.connect() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )


def _later(action: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        action()

    return do


def _aside(action: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        await asyncio.to_thread(action)

    return do
