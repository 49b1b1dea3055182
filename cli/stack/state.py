"""The files that describe a stack in its data folder.

`stack.json` holds ports, generated secrets and the settings of the latest start. The data in the
folder depends on it: without its secrets the database and the stored credentials are unreadable.
`stack.lock` is locked while the stack runs. `stack.pids.json` lists its processes. Only the owner
of these files can read them.
"""

import fcntl
import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Final, Self

import psutil  # type: ignore[import-untyped]
from pydantic import BaseModel, Field, ValidationError

from cli.stack.ports import listens

STATE_FILE: Final = "stack.json"
LOCK_FILE: Final = "stack.lock"
PROCESSES_FILE: Final = "stack.pids.json"
_STOP_SECONDS: Final = 5.0
_CLOCK_TOLERANCE_SECONDS: Final = 1.0


class StackError(RuntimeError):
    """The stack cannot do what was requested. The message says what happened and what to do."""


class AlreadyRunning(StackError):
    """Another process runs the stack on the same data folder."""


def new_admin_key() -> str:
    """Generate a key in the form that the API expects."""
    return f"autos_{secrets.token_urlsafe(32)}"


class Secrets(BaseModel):
    """The secrets that the stack generates on its first start."""

    admin_key: str = Field(default_factory=new_admin_key)
    secret_key: str = Field(default_factory=lambda: secrets.token_urlsafe(32))
    postgres_password: str = Field(default_factory=lambda: secrets.token_urlsafe(24))
    s3_access_key_id: str = Field(default_factory=lambda: secrets.token_hex(10).upper())
    s3_secret_access_key: str = Field(default_factory=lambda: secrets.token_urlsafe(30))


class StackState(BaseModel):
    """The content of `stack.json`."""

    ports: dict[str, int] = Field(default_factory=dict)
    secrets: Secrets = Field(default_factory=Secrets)
    environment: dict[str, str] = Field(default_factory=dict)
    """The settings of the latest start (`AUTOS_*`, `TEMPORAL_*`)."""
    addresses: dict[str, str] = Field(default_factory=dict)
    """URLs for a browser or an HTTP client, by the part's name."""

    @classmethod
    def load(cls, data_dir: Path) -> Self | None:
        """Read the state; None if the stack has never been started in this folder.

        Raises:
            StackError: the file exists but cannot be read.
        """
        path = data_dir / STATE_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StackError(
                f"{path} is damaged. The data in the folder depends on its secrets: restore it "
                "from a copy, or move the whole data folder to start with an empty one."
            ) from error

    def save(self, data_dir: Path) -> None:
        """Write the state atomically: a crash leaves the old file or the new one."""
        write_private(data_dir / STATE_FILE, self.model_dump_json(indent=2))


def take_lock(data_dir: Path) -> BufferedWriter:
    """Lock the data folder, and create it if it does not exist.

    Closing the returned file releases the lock; the kernel also releases it when the process ends.

    Raises:
        AlreadyRunning: another process holds the lock.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = open_private(data_dir / LOCK_FILE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise AlreadyRunning(
            f"The stack in {data_dir} is already running, in another terminal or in the "
            "background. Use that stack, or stop it first."
        ) from error
    return file


def is_running(data_dir: Path) -> bool:
    """Whether a process runs the stack of this folder now."""
    if not (data_dir / LOCK_FILE).exists():
        return False
    try:
        take_lock(data_dir).close()
    except AlreadyRunning:
        return True
    return False


@dataclass
class ProcessList:
    """Records the running processes of a data folder in a file, for the next start to clean up.

    Process ids are reused, so a process belongs to the stack only if it also started at the
    recorded time.
    """

    data_dir: Path
    _running: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, name: str, pid: int) -> None:
        """Record a process that was started."""
        try:
            started_at = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        self._running[name] = {"pid": pid, "began": started_at}
        self._save()

    def remove(self, name: str) -> None:
        """Record that a process has ended."""
        if self._running.pop(name, None) is not None:
            self._save()

    def end_leftovers(self) -> list[str]:
        """End processes of an earlier start that are still running; returns their names."""
        recorded = read_json(self.data_dir / PROCESSES_FILE)
        if not isinstance(recorded, dict):
            return []
        running = {
            name: process
            for name, entry in recorded.items()
            if (process := _find(entry)) is not None
        }
        for process in running.values():
            process.terminate()
        _, alive = psutil.wait_procs(running.values(), timeout=_STOP_SECONDS)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=_STOP_SECONDS)
        self._save()
        return list(running)

    def _save(self) -> None:
        write_private(self.data_dir / PROCESSES_FILE, json.dumps(self._running))


def part_listens(data_dir: Path, name: str, port: int) -> bool:
    """Whether the process that listens on the port is the part `name` of this folder's stack."""
    recorded = read_json(data_dir / PROCESSES_FILE)
    entry = recorded.get(name) if isinstance(recorded, dict) else None
    process = _find(entry) if entry is not None else None
    return process is not None and listens(process.pid, [port])


def _find(entry: dict[str, float]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(entry["pid"]))
        if abs(process.create_time() - float(entry["began"])) > _CLOCK_TOLERANCE_SECONDS:
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def write_private(path: Path, text: str) -> None:
    """Replace a file's content atomically; only its owner can read it."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with open_private(temporary) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def open_private(path: Path) -> BufferedWriter:
    """Open a file for appending; only its owner can read it."""
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def restrict_folder(folder: Path, mode: int = 0o700) -> None:
    """Deny other users access to a folder, unless it is shared by design, as /tmp is."""
    if not folder.stat().st_mode & stat.S_ISVTX:
        folder.chmod(mode)


def read_json(path: Path) -> object:
    """The content of a JSON file, or None if it does not exist or is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
