"""Running and restarting one part, with small programs as servers."""

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil  # type: ignore[import-untyped]
import pytest

from cli.stack.runner import Runner, RunnerContext
from cli.stack.servers import Part, Process, Readiness
from cli.stack.state import ProcessList, StackError


@pytest.fixture
def announced() -> list[str]:
    return []


@pytest.fixture
async def context(tmp_path: Path, announced: list[str]) -> AsyncIterator[RunnerContext]:
    async with httpx2.AsyncClient() as client:
        yield RunnerContext(tmp_path, ProcessList(tmp_path), client, announced.append)


def wrote(path: Path) -> Readiness:
    async def ready(_: Process, __: httpx2.AsyncClient) -> bool:
        return path.exists()

    return ready


def part(script: str, ready: Readiness | None, *, stop_seconds: float = 5) -> Part:
    return Part(
        name="part",
        title="The part",
        stage=1,
        command=(sys.executable, "-I", "-S", "-c", script),
        ready=ready,
        stop_seconds=stop_seconds,
    )


async def test_part_that_never_starts_is_given_up_with_the_end_of_its_log(
    context: RunnerContext, tmp_path: Path
) -> None:
    script = "print('no disk'); raise SystemExit(4)"
    runner = Runner(part(script, wrote(tmp_path / "never")), context)
    runner.start()
    with pytest.raises(StackError, match=r"The part does not start \(exit code 4\)[^$]*no disk"):
        await runner.wait_ready(10)
    await runner.stop()


async def test_part_that_is_not_ready_in_time_is_named(
    context: RunnerContext, tmp_path: Path
) -> None:
    runner = Runner(part("import time; time.sleep(60)", wrote(tmp_path / "never")), context)
    runner.start()
    with pytest.raises(StackError, match="The part was not ready within 0 s"):
        await runner.wait_ready(0.1)
    await runner.stop()
    assert runner.pid is None


async def test_part_is_stopped_only_after_its_preparation(
    context: RunnerContext, tmp_path: Path
) -> None:
    """The next start prepares the same folder, and two must not prepare it at once."""
    began, may_end = threading.Event(), threading.Event()
    steps: list[str] = []

    def prepare() -> None:
        began.set()
        assert may_end.wait(30)
        steps.append("prepared")

    given = replace(part("pass", wrote(tmp_path / "never")), prepare=prepare)
    runner = Runner(given, context)
    runner.start()
    assert await asyncio.to_thread(began.wait, 30)
    stopping = asyncio.create_task(runner.stop())
    # Long enough for a stop that does not wait for the preparation.
    await asyncio.wait({stopping}, timeout=0.1)
    may_end.set()
    await stopping
    assert steps == ["prepared"]
    assert runner.pid is None


async def test_part_that_does_not_stop_is_killed(
    context: RunnerContext, tmp_path: Path, announced: list[str]
) -> None:
    up = tmp_path / "up"
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(up)!r}, 'w').close(); time.sleep(60)"
    )
    runner = Runner(part(script, wrote(up), stop_seconds=0.1), context)
    runner.start()
    await runner.wait_ready(10)
    await runner.stop()
    assert runner.pid is None
    assert announced == ["The part did not stop within 0 s; killing it."]


async def test_part_killed_during_its_restart_stays_down(
    context: RunnerContext, tmp_path: Path
) -> None:
    up = tmp_path / "up"
    script = f"open({str(up)!r}, 'w').close(); import time; time.sleep(60)"
    runner = Runner(part(script, wrote(up)), context)
    runner.start()
    await runner.wait_ready(10)
    await runner.kill(stay_down=False)
    async with asyncio.timeout(30):
        await runner.kill(stay_down=True)
    assert runner.pid is None
    up.unlink()
    runner.start()
    await runner.wait_ready(10)
    await runner.stop()


async def test_dead_part_restarts_without_its_children(
    context: RunnerContext, tmp_path: Path, announced: list[str]
) -> None:
    child = tmp_path / "child"
    # Written under another name first, so the file is complete when it appears.
    script = (
        "import os, subprocess, time; child = subprocess.Popen(['sleep', '60']); "
        f"open({str(child)!r} + '.new', 'w').write(str(child.pid)); "
        f"os.rename({str(child)!r} + '.new', {str(child)!r}); time.sleep(60)"
    )
    runner = Runner(part(script, wrote(child)), context)
    runner.start()
    await runner.wait_ready(10)
    first, grandchild = runner.pid, psutil.Process(int(child.read_text()))
    child.unlink()
    await runner.kill(stay_down=False)
    await runner.wait_ready(10)
    assert runner.pid not in (None, first)
    psutil.wait_procs([grandchild], timeout=30)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
    assert announced == [
        f"The part ended unexpectedly (killed by {signal.SIGKILL.name}); restarting it."
    ]
    await runner.stop()


async def test_one_off_part_is_ready_when_it_exits_with_0(
    context: RunnerContext, tmp_path: Path
) -> None:
    runner = Runner(part("pass", None), context)
    runner.start()
    await runner.wait_ready(10)
    assert runner.pid is None


async def test_part_with_a_failed_preparation_does_not_start(context: RunnerContext) -> None:
    def prepare() -> None:
        raise StackError("There is no room on the disk.")

    async def ready(_: Process, __: httpx2.AsyncClient) -> bool:
        return True

    broken = Part("part", "The part", 1, ("true",), ready, prepare=prepare)
    runner = Runner(broken, context)
    runner.start()
    with pytest.raises(StackError, match="There is no room on the disk"):
        await runner.wait_ready(10)
    await runner.stop()


async def test_part_whose_port_is_taken_gets_no_request(
    context: RunnerContext,
) -> None:
    """The other program would respond instead of the part."""
    checked: list[int] = []

    async def ready(process: Process, _: httpx2.AsyncClient) -> bool:
        checked.append(process.pid)
        return True

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        waiting = replace(part("import time; time.sleep(60)", ready), ports=frozenset({port}))
        runner = Runner(waiting, context)
        runner.start()
        with pytest.raises(StackError, match="was not ready"):
            await runner.wait_ready(0.5)
        await runner.stop()
    assert checked == []


async def test_part_is_ready_when_its_own_process_listens(context: RunnerContext) -> None:
    """(S33) Also if a child process has the socket."""

    async def ready(_: Process, __: httpx2.AsyncClient) -> bool:
        return True

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = (
        "import os, socket, time; os.fork() and time.sleep(60); "
        f"server = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    )
    runner = Runner(replace(part(script, ready), ports=frozenset({port})), context)
    runner.start()
    await runner.wait_ready(10)
    await runner.stop()
