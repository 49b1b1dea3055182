"""Creates the virtual environment that `make` uses, and shows its progress.

Run as a script by any Python of the right version, because nothing is installed yet:
`python3 cli/install.py .venv`. It installs the packages of `requirements.lock`, each checked by its
hash. The output of pip is in `install.log` of the environment.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

NEEDED = (3, 11)
ROOT = Path(__file__).resolve().parents[1]
TO_FETCH, ON_DISK = "235 MB", "981 MB"
"""The measured size of the packages, servers and development tools included."""
_QUIET_STEP = 15.0
"""Seconds between two lines where the output is no terminal."""


def main(folder: Path) -> int:
    """Install everything; returns the exit code."""
    if sys.version_info < NEEDED:
        write(
            f"Python {NEEDED[0]}.{NEEDED[1]} or newer is needed; this is {sys.version.split()[0]}."
        )
        write("Use another one: make PYTHON=python3.12 demo")
        return 1
    total = len(re.findall(r"^[a-zA-Z0-9].*==", (ROOT / "requirements.lock").read_text(), re.M))
    write(f"Installing up to {total} packages into {folder}, once.")
    write(f"They are about {TO_FETCH} to download and take {ON_DISK} on disk.")
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    log = folder / "install.log"
    pip = [str(folder / "bin" / "pip"), "install", "--disable-pip-version-check"]
    locked = [*pip, "--progress-bar=off", "--require-hashes", "-r", "requirements.lock"]
    own = [*pip, "--no-deps", "--no-build-isolation", "--editable", "."]
    for command in (locked, own):
        code = run(command, log, folder, total)
        if code:
            write("".join(["\n", *log.read_text(errors="replace").splitlines(keepends=True)[-20:]]))
            write(f"pip failed with exit code {code}; its whole output is in {log}. Fix the cause")
            write("and run `make` again: installed packages are kept.")
            return code
    size = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
    write(f"Installed in {time.monotonic() - began:.0f} s; {folder} takes {size / 2**20:.0f} MB.")
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
            elif time.monotonic() - shown >= _QUIET_STEP:
                shown = time.monotonic()
                write(f"  {stage(log, folder, total)}")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        if sys.stdout.isatty():
            write("\r\033[K", end="")


def stage(log: Path, folder: Path, total: int) -> str:
    """What pip is doing, and for how many packages: fetching or installing."""
    installed = sum(1 for _ in folder.glob("lib/python*/site-packages/*.dist-info"))
    output = log.read_text(errors="replace")
    if "Installing collected packages" in output:
        return f"installing: {installed} of {total} packages"
    fetched = len(re.findall(r"^Collecting ", output, re.M))
    return f"fetching: {fetched} of {total} packages"


def write(text: str, end: str = "\n") -> None:
    """Write to standard output at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except KeyboardInterrupt:
        write("\nStopped. Run `make` again to continue.")
        sys.exit(130)
