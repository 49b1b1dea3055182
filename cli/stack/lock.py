"""The lock that lets one process at a time run the stack of a data folder.

The kernel drops it with the process that holds it, however that ends.
"""

import fcntl
from io import BufferedWriter
from pathlib import Path
from typing import Final

from cli.stack.errors import AlreadyRunning
from cli.stack.state import open_private

FILE_NAME: Final = "stack.lock"


class Lock:
    """The lock of one data folder; made unheld."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._file: BufferedWriter | None = None

    def take(self) -> None:
        """Take the lock, making the folder where it is missing.

        Raises:
            AlreadyRunning: another process holds it.
        """
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open_private(self._data_dir / FILE_NAME)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            file.close()
            raise AlreadyRunning(
                f"The stack in {self._data_dir} runs already, in another terminal or in the "
                "background. Use it, or stop it there first."
            ) from held
        self._file = file

    def release(self) -> None:
        """Give the lock back; does nothing if it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_running(data_dir: Path) -> bool:
    """Whether some process runs the stack of this folder at the moment."""
    if not (data_dir / FILE_NAME).exists():
        return False
    lock = Lock(data_dir)
    try:
        lock.take()
    except AlreadyRunning:
        return True
    lock.release()
    return False
