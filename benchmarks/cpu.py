"""CPU time of the measured processes, from /proc.

It counts child processes too, also those that have ended: PostgreSQL uses one per connection. The
resolution is the kernel's clock tick, 10 ms, so a measured span should cost a part much more.
"""

from collections.abc import Mapping
from contextlib import suppress

import psutil  # type: ignore[import-untyped]  # publishes no types


class CpuMeter:
    """Reads the CPU time of parts by their process ids.

    Args:
        pids: the main process of each part.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {part: psutil.Process(pid) for part, pid in pids.items()}

    def read(self, *parts: str) -> dict[str, float]:
        """Milliseconds of CPU of each part since its start."""
        return {part: cpu_milliseconds(self._processes[part]) for part in parts}

    def since(self, before: Mapping[str, float]) -> dict[str, float]:
        """Milliseconds of each part since an earlier reading."""
        now = self.read(*before)
        return {part: now[part] - before[part] for part in before}

    def pid(self, part: str) -> int:
        """The id of the part's main process."""
        return int(self._processes[part].pid)

    def resident_mib(self, part: str) -> float:
        """The resident memory of the part's main process, in MiB."""
        return float(self._processes[part].memory_info().rss) / 2**20


def cpu_milliseconds(process: psutil.Process) -> float:
    """User and system time of a process, its running descendants and its ended children."""
    seconds = 0.0
    for member in (*process.children(recursive=True), process):
        # A child may end meanwhile; its time is then in its parent's, which is read later.
        with suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds * 1000
