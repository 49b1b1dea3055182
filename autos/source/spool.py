"""Buffers a document between source and store: in memory up to 8 MiB, beyond it in an unnamed file.

Spools that share a `Quota` stay within its memory bound together (plus one piece each): when it is
used up, they go to disk earlier. Before a body of known length is read, it is compared with the
free space of the disk minus what the other spools have still to write.

The file is unlinked when it is opened, so nothing is left on disk when the process dies, and its
bytes are written and read off the event loop, 1 MiB or more at a time. A spool is for one document,
used by one task at a time.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final, Self, cast

from autos import stall_watch

MEMORY_BYTES: Final = 8 * 1024 * 1024
PIECE_BYTES: Final = 1024 * 1024
SHARED_BYTES: Final = 128 * 1024 * 1024
"""In memory over all spools: of 100 documents at once (20 batches of 5) most go to disk."""


class Quota:
    """The memory and disk space that several spools use together; for one event loop."""

    def __init__(self, memory_bytes: int = SHARED_BYTES) -> None:
        self._most = memory_bytes
        self.in_memory = 0
        self.reserved = 0
        """Bytes of declared bodies that are not on the disk yet."""

    @property
    def memory_full(self) -> bool:
        """True when every spool should write to disk."""
        return self.in_memory >= self._most


class Spool:
    """One document's bytes: written once, read as often as needed, then closed."""

    def __init__(
        self, folder: Path, memory_bytes: int = MEMORY_BYTES, quota: Quota | None = None
    ) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._quota = quota or Quota()
        self._charged = 0
        self._reserved = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._written = 0
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._written + self._held_bytes

    @property
    def on_disk(self) -> bool:
        """True once the spool has outgrown memory."""
        return self._file is not None

    async def reserve(self, length: int) -> None:
        """Reserve room on the disk before a body of this length is read.

        Args:
            length: bytes, as declared; a body that fits into memory reserves nothing.

        Raises:
            OSError: ENOSPC, the disk has less room than this and the other spools need.
        """
        if length <= self._memory_bytes:
            return
        free = (await asyncio.to_thread(shutil.disk_usage, self._folder)).free
        if length > free - self._quota.reserved:
            raise OSError(errno.ENOSPC, f"{length} bytes do not fit into {free}", self._folder)
        self._reserve(length)

    async def write(self, data: bytes) -> None:
        """Append bytes; large amounts are written to disk off the event loop.

        Raises:
            OSError: the disk is full, or the folder is not writable.
        """
        self._held.append(data)
        self._held_bytes += len(data)
        self._charge(len(data))
        by_piece = self.on_disk or (self._quota.memory_full and self._memory_bytes > PIECE_BYTES)
        if self._held_bytes > (PIECE_BYTES if by_piece else self._memory_bytes):
            await self._flush()

    async def pieces(self) -> AsyncIterator[bytes]:
        """All bytes from the start; may be called repeatedly."""
        if self._file is not None and self._held:
            await self._flush()
        for offset in range(0, self._written, PIECE_BYTES):
            yield await asyncio.to_thread(self._read, offset)
            stall_watch.progressed()
        for data in self._held:
            yield data

    def close(self) -> None:
        """Free memory and disk; may be repeated, and called during a write."""
        self._closed = True
        self._held = []
        self._charge(-self._charged)
        self._reserve(-self._reserved)
        self._close_file_in_turn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_file_in_turn(self) -> None:
        # A cancelled task cannot stop its thread: the thread then closes the file itself.
        if self._lock.acquire(blocking=False):
            try:
                self._close_file()
            finally:
                self._lock.release()

    async def _flush(self) -> None:
        held, self._held = self._held, []
        moved, self._held_bytes = self._held_bytes, 0
        self._written += moved
        try:
            await asyncio.to_thread(self._append, held)
        finally:
            self._charge(-min(moved, self._charged))
            self._reserve(-min(moved, self._reserved))

    def _append(self, held: list[bytes]) -> None:
        with self._lock:
            if not self._closed:
                if self._file is None:
                    self._file = _open_nameless(self._folder)
                for data in held:
                    rest = memoryview(data)
                    while rest:
                        rest = rest[self._file.write(rest) :]
        if self._closed:
            self._close_file_in_turn()

    def _read(self, offset: int) -> bytes:
        with self._lock:
            if self._file is None:
                raise ValueError("This spool is closed; the document must be fetched again.")
            length = min(PIECE_BYTES, self._written - offset)
            data = os.pread(self._file.fileno(), length, offset)
        if len(data) != length:
            raise OSError(f"The spool file ended at {offset + len(data)} of {self._written} bytes.")
        return data

    def _charge(self, count: int) -> None:
        self._charged += count
        self._quota.in_memory += count

    def _reserve(self, count: int) -> None:
        self._reserved += count
        self._quota.reserved += count

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def sweep(folder: Path, older_than_seconds: float) -> int:
    """Delete files that a process left here when it died; returns their number.

    Where the system cannot create a nameless file, it has a name for the moment until it is
    unlinked. An older file belongs to a process that has ended.
    """
    oldest = time.time() - older_than_seconds
    swept = 0
    for path in folder.iterdir():
        # Another worker of this folder may sweep, or unlink its own, at the same time.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()
                swept += 1
    return swept


def _open_nameless(folder: Path) -> BinaryIO:
    file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `close` closes it
    return cast(BinaryIO, file)
