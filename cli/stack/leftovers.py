"""Which processes the stack started, on file, so that a later start can end what was left behind.

A pid alone proves nothing, since numbers are used again: a process counts as ours only if it also
began at the recorded moment.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from cli.stack.sockets import listens
from cli.stack.state import read_json, write_private

FILE_NAME: Final = "stack.pids.json"
_PATIENCE_SECONDS: Final = 5.0
_CLOCK_TOLERANCE_SECONDS: Final = 1.0


@dataclass
class Leftovers:
    """The register of running processes of one data folder."""

    data_dir: Path
    _running: dict[str, dict[str, float]] = field(default_factory=dict)

    def record(self, name: str, pid: int) -> None:
        """Remember a process that was started."""
        try:
            began = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        self._running[name] = {"pid": pid, "began": began}
        self._save()

    def forget(self, name: str) -> None:
        """A process ended under our eyes."""
        if self._running.pop(name, None) is not None:
            self._save()

    def sweep(self) -> list[str]:
        """End what an earlier stack left running, and say which parts that were."""
        recorded = read_json(self.data_dir / FILE_NAME)
        if not isinstance(recorded, dict):
            return []
        found = {
            name: process
            for name, entry in recorded.items()
            if (process := _find(int(entry["pid"]), float(entry["began"]))) is not None
        }
        for process in found.values():
            process.terminate()
        _, alive = psutil.wait_procs(found.values(), timeout=_PATIENCE_SECONDS)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=_PATIENCE_SECONDS)
        self._save()
        return list(found)

    def _save(self) -> None:
        write_private(self.data_dir / FILE_NAME, json.dumps(self._running))


def part_listens(data_dir: Path, name: str, port: int) -> bool:
    """Whether the running part `name` of this folder's stack is what listens on the port."""
    recorded = read_json(data_dir / FILE_NAME)
    entry = recorded.get(name) if isinstance(recorded, dict) else None
    if entry is None or _find(int(entry["pid"]), float(entry["began"])) is None:
        return False
    return listens(int(entry["pid"]), {port})


def _find(pid: int, began: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - began) > _CLOCK_TOLERANCE_SECONDS:
            return None
    except psutil.NoSuchProcess:
        return None
    return process
