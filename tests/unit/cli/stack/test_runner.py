"""Keeping one part running, with small programs in place of servers."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil  # type: ignore[import-untyped]
import pytest

from cli.stack.errors import StackError
from cli.stack.leftovers import Leftovers
from cli.stack.parts import Life, Part, Readiness
from cli.stack.runner import Runner, Surroundings


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def surroundings(tmp_path: Path, said: list[str]) -> AsyncIterator[Surroundings]:
    async with httpx2.AsyncClient() as client:
        yield Surroundings(tmp_path, Leftovers(tmp_path), client, said.append)


def wrote(path: Path) -> Readiness:
    async def ready(_: Life, __: httpx2.AsyncClient) -> bool:
        return path.exists()

    return ready


def part(script: str, ready: Readiness, *, once: bool = False, patience: float = 5) -> Part:
    return Part(
        name="part",
        title="The part",
        stage=1,
        command=(sys.executable, "-I", "-S", "-c", script),
        ready=ready,
        patience=patience,
        once=once,
    )


async def test_a_part_that_never_gets_up_is_given_up_with_its_last_words(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    script = "print('no disk'); raise SystemExit(4)"
    runner = Runner(part(script, wrote(tmp_path / "never")), surroundings)
    runner.start()
    with pytest.raises(StackError, match=r"The part does not start \(exit code 4\)[^$]*no disk"):
        await runner.wait_ready(10)
    await runner.stop()


async def test_a_part_that_is_not_ready_in_time_is_named(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    runner = Runner(part("import time; time.sleep(60)", wrote(tmp_path / "never")), surroundings)
    runner.start()
    with pytest.raises(StackError, match="The part was not ready within 0 s"):
        await runner.wait_ready(0.1)
    await runner.stop()
    assert runner.pid is None


async def test_a_part_that_does_not_stop_is_killed(
    surroundings: Surroundings, tmp_path: Path, said: list[str]
) -> None:
    up = tmp_path / "up"
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(up)!r}, 'w').close(); time.sleep(60)"
    )
    runner = Runner(part(script, wrote(up), patience=0.1), surroundings)
    runner.start()
    await runner.wait_ready(10)
    await runner.stop()
    assert runner.pid is None
    assert said == ["The part did not stop within 0 s; killing it."]


async def test_a_part_that_is_killed_between_two_lives_stays_down(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    up = tmp_path / "up"
    script = f"open({str(up)!r}, 'w').close(); import time; time.sleep(60)"
    runner = Runner(part(script, wrote(up)), surroundings)
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


async def test_a_dead_part_comes_back_without_its_children(
    surroundings: Surroundings, tmp_path: Path, said: list[str]
) -> None:
    child = tmp_path / "child"
    # Written under another name first: whoever sees the file sees its whole content.
    script = (
        "import os, subprocess, time; child = subprocess.Popen(['sleep', '60']); "
        f"open({str(child)!r} + '.new', 'w').write(str(child.pid)); "
        f"os.rename({str(child)!r} + '.new', {str(child)!r}); time.sleep(60)"
    )
    runner = Runner(part(script, wrote(child)), surroundings)
    runner.start()
    await runner.wait_ready(10)
    first, grandchild = runner.pid, psutil.Process(int(child.read_text()))
    child.unlink()
    await runner.kill(stay_down=False)
    await runner.wait_ready(10)
    assert runner.pid not in (None, first)
    psutil.wait_procs([grandchild], timeout=30)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
    assert said == [
        f"The part ended by itself (killed by {signal.SIGKILL.name}); starting it again."
    ]
    await runner.stop()


async def test_work_that_is_done_once_is_ready_when_it_ended_well(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    runner = Runner(part("pass", wrote(tmp_path / "never"), once=True), surroundings)
    runner.start()
    await runner.wait_ready(10)
    assert runner.pid is None


async def test_a_part_that_cannot_be_prepared_does_not_start(surroundings: Surroundings) -> None:
    def prepare() -> None:
        raise StackError("There is no room on the disk.")

    async def ready(_: Life, __: httpx2.AsyncClient) -> bool:
        return True

    broken = Part("part", "The part", 1, ("true",), ready, prepare=prepare)
    runner = Runner(broken, surroundings)
    runner.start()
    with pytest.raises(StackError, match="There is no room on the disk"):
        await runner.wait_ready(10)
    await runner.stop()


async def test_a_part_whose_port_a_stranger_holds_is_asked_nothing(
    surroundings: Surroundings,
) -> None:
    """(S33) The stranger would answer well; the part itself never listens."""
    asked: list[int] = []

    async def ready(life: Life, _: httpx2.AsyncClient) -> bool:
        asked.append(life.pid)
        return True

    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        waiting = replace(part("import time; time.sleep(60)", ready), ports=frozenset({port}))
        runner = Runner(waiting, surroundings)
        runner.start()
        with pytest.raises(StackError, match="was not ready"):
            await runner.wait_ready(0.5)
        await runner.stop()
    assert asked == []


async def test_a_part_is_ready_when_its_own_process_listens(surroundings: Surroundings) -> None:
    """(S33) Also where the socket is a child's."""

    async def ready(_: Life, __: httpx2.AsyncClient) -> bool:
        return True

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = (
        "import os, socket, time; os.fork() and time.sleep(60); "
        f"server = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    )
    runner = Runner(replace(part(script, ready), ports=frozenset({port})), surroundings)
    runner.start()
    await runner.wait_ready(10)
    await runner.stop()
