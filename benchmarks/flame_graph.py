"""A flame graph of a running process, by py-spy: where its Python code spends its time.

Temporal's core, written in Rust, does not appear in it.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_SAMPLES_PER_SECOND: Final = 100
_WRITE_SECONDS: Final = 60


@asynccontextmanager
async def recording(pid: int, svg: Path) -> AsyncIterator[None]:
    """Record the process while the block runs, then write the SVG.

    Raises:
        RuntimeError: py-spy failed; it may lack the right to trace the process.
    """
    svg.parent.mkdir(parents=True, exist_ok=True)
    recorder = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid)),
        *("--output", str(svg), "--rate", str(_SAMPLES_PER_SECOND), "--threads"),
        # Only what holds the interpreter's lock: idle threads would fill the graph otherwise. The
        # process is not stopped for each sample, which would slow it down several times.
        *("--gil", "--nonblocking"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Ctrl-C reaches the bench alone, which ends the recording.
        start_new_session=True,
    )
    try:
        yield
    finally:
        if recorder.returncode is None:
            # py-spy writes the SVG at this signal.
            recorder.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                _, output = await recorder.communicate()
        except TimeoutError:
            recorder.kill()
            raise
    if not svg.exists():
        raise RuntimeError(
            f"py-spy wrote no flame graph: {output.decode(errors='replace').strip()} "
            "It needs the right to trace processes: run as root, or set "
            "kernel.yama.ptrace_scope to 0."
        )
