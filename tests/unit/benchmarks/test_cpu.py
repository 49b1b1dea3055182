"""CPU of real processes, those that have ended included."""

import subprocess
import sys

import psutil  # type: ignore[import-untyped]  # publishes no types

from benchmarks.cpu import CpuMeter, cpu_milliseconds

BURN = "import time\nwhile time.process_time() < 0.2: pass\n"
BURN_IN_A_CHILD = f"""
import subprocess, sys
subprocess.run([sys.executable, "-S", "-c", {BURN!r}], check=True)
print("done", flush=True)
sys.stdin.read()
"""


def test_a_child_that_has_ended_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", BURN_IN_A_CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_milliseconds(psutil.Process(process.pid)) >= 190
        assert process.stdin is not None
        process.stdin.close()


def test_a_running_child_counts() -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-S",
            "-c",
            BURN + "print('done', flush=True)\nimport sys\nsys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        meter = CpuMeter({"parent": psutil.Process().pid})
        assert meter.read("parent")["parent"] >= 190
        assert meter.since(meter.read("parent"))["parent"] >= 0
        assert process.stdin is not None
        process.stdin.close()
