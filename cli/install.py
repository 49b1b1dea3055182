"""Creates the virtual environment that `make` uses, and shows its progress.

A script without dependencies, because nothing is installed yet: `python3 cli/install.py .venv`. It
installs the packages of `requirements.lock` and verifies the hash of each. The output of pip is in
`install.log` in the environment.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

MINIMUM_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parents[1]
DOWNLOAD_SIZE, DISK_SIZE = "235 MB", "981 MB"
"""The measured size of the packages, servers and development tools included."""
_LINE_SECONDS = 15.0
"""Seconds between two lines if the output is not a terminal."""


def main(folder: Path) -> int:
    """Install everything; returns the exit code."""
    if sys.version_info < MINIMUM_PYTHON:
        needed = ".".join(map(str, MINIMUM_PYTHON))
        write(f"Autos needs Python {needed} or newer; this is {sys.version.split()[0]}.")
        write("Use another Python: make PYTHON=python3.12 demo")
        return 1
    total = len(re.findall(r"^[a-zA-Z0-9].*==", (ROOT / "requirements.lock").read_text(), re.M))
    write(f"Installing up to {total} packages into {folder}, once.")
    write(f"The download is about {DOWNLOAD_SIZE}; the packages take {DISK_SIZE} on disk.")
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    log = folder / "install.log"
    pip = [str(folder / "bin" / "pip"), "install", "--disable-pip-version-check"]
    locked = [*pip, "--progress-bar=off", "--require-hashes", "-r", "requirements.lock"]
    own = [*pip, "--no-deps", "--no-build-isolation", "--editable", "."]
    for command in (locked, own):
        code = run(command, log, folder, total)
        if code:
            write("".join(["\n", *log.read_text(errors="replace").splitlines(keepends=True)[-20:]]))
            write(f"pip failed with exit code {code}; its full output is in {log}. Fix the cause")
            write("and run `make` again: installed packages are kept.")
            return code
    size = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
    write(f"Installed in {time.monotonic() - started:.0f} s; {folder} takes {size / 2**20:.0f} MB.")
    return 0


def run(command: list[str], log: Path, folder: Path, total: int) -> int:
    """Run pip with its output in the log, and show the progress; returns its exit code."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    shown = time.monotonic()
    try:
        while True:
            try:
                return process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                pass
            if sys.stdout.isatty():
                write(f"\r\033[K  {stage(log, folder, total)}", end="")
            elif time.monotonic() - shown >= _LINE_SECONDS:
                shown = time.monotonic()
                write(f"  {stage(log, folder, total)}")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        if sys.stdout.isatty():
            write("\r\033[K", end="")


def stage(log: Path, folder: Path, total: int) -> str:
    """The current step of pip, and the number of packages it has handled."""
    installed = sum(1 for _ in folder.glob("lib/python*/site-packages/*.dist-info"))
    output = log.read_text(errors="replace")
    if "Installing collected packages" in output:
        return f"installing: {installed} of {total} packages"
    fetched = len(re.findall(r"^Collecting ", output, re.M))
    return f"fetching: {fetched} of {total} packages"


def write(text: str, end: str = "\n") -> None:
    """Write to standard output and flush it."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except KeyboardInterrupt:
        write("\nStopped. Run `make` again to continue.")
        sys.exit(130)
