"""`autos up` and `autos demo` as processes, with the real stack."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer

import httpx2
import pytest

from cli.stack import Stack, is_running

NUMBER = "9990002-86.2024.8.26.0100"
_START_SECONDS = 120.0


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cli", *words]


def environment(folder: Path) -> dict[str, str]:
    """The environment without the user's settings, and with an unreachable source."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AUTOS_", "TEMPORAL_"))}
    return kept | {
        "AUTOS_DATA_DIR": str(folder / "data"),
        "AUTOS_PDPJ_BASE_URL": "http://127.0.0.1:9",
        "AUTOS_PDPJ_TOKEN": "none",
    }


def autos(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not pytest's own: each of its sessions closes the folder above to other users again, and as
    # root PostgreSQL runs as another user.
    with TemporaryDirectory(prefix="autos-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command("up"),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        # Ends the loop below if the stack never reports that it is ready.
        bound = Timer(_START_SECONDS, process.kill)
        bound.start()
        output = []
        for line in process.stdout:
            output.append(line)
            if "Ctrl-C stops it" in line:
                break
        else:
            pytest.fail("".join(output))
        bound.cancel()
        yield process
        if process.poll() is None:
            process.terminate()


def test_second_start_reports_the_running_stack(folder: Path, up: subprocess.Popen[str]) -> None:
    second = autos(folder, "up")
    assert second.returncode == 2
    assert "is already running" in second.stderr


def test_commands_find_the_stack_by_its_folder(folder: Path, up: subprocess.Popen[str]) -> None:
    made = autos(folder, "keys", "create", "tests")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("autos_")
    listed = autos(folder, "keys", "list")
    assert listed.returncode == 0, listed.stderr
    assert "tests" in listed.stdout
    unknown = autos(folder, "status", NUMBER)
    assert unknown.returncode == 1
    assert "Traceback" not in unknown.stderr


def test_env_prints_variables_for_a_shell(folder: Path, up: subprocess.Popen[str]) -> None:
    """As in the README: `eval "$(autos env)"`."""
    printed = autos(folder, "env")
    assert printed.returncode == 0, printed.stderr
    shell = f'{printed.stdout}\ncurl -sf -H "Authorization: Bearer $KEY" "$API/jobs" "$DOCS"'
    ran = subprocess.run(["sh", "-e"], input=shell, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert '"items"' in ran.stdout
    names = {line.split("=")[0].removeprefix("export ") for line in printed.stdout.splitlines()}
    assert names == {"API", "KEY", "DOCS", "TEMPORAL", "WEB_UI"}


def test_ctrl_c_stops_the_stack_with_exit_code_0(folder: Path, up: subprocess.Popen[str]) -> None:
    up.send_signal(signal.SIGINT)
    output, _ = up.communicate(timeout=120)
    assert up.returncode == 0
    assert "Stopped." in output
    assert not is_running(folder / "data")
    assert (folder / "data" / "stack.pids.json").read_text() == "{}"
    down = autos(folder, "env")
    assert down.returncode == 1
    assert "is not running" in down.stderr
    assert "make up" in down.stderr


def test_ctrl_c_during_the_start_leaves_no_process() -> None:
    with TemporaryDirectory(prefix="autos-") as made:
        data = Path(made) / "data"
        with subprocess.Popen(
            command("demo", "--data-dir", str(data)),
            cwd=made,
            env=environment(Path(made)),
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            bound = Timer(_START_SECONDS, process.kill)
            bound.start()
            for line in process.stdout:
                if "ready in" in line:
                    process.send_signal(signal.SIGINT)
                    break
            process.communicate(timeout=120)
            bound.cancel()
        assert process.returncode == 130
        assert not is_running(data)
        assert (data / "stack.pids.json").read_text() == "{}"


def test_demo_completes_in_an_empty_folder() -> None:
    """The command of `make demo`, without any settings."""
    run_the_demo()


def test_demo_replaces_a_credential_of_an_earlier_run() -> None:
    """The sandbox refuses that credential, so the job would never end."""

    async def set_credential(folder: Path) -> None:
        async with Stack(folder / ".autos") as stack, httpx2.AsyncClient() as http:
            environment = stack.settings_environment()
            reply = await http.put(
                f"{stack.addresses['api']}/api/v1/credentials/pdpj",
                json={"access_token": "of-an-earlier-run"},
                headers={"Authorization": f"Bearer {environment['AUTOS_ADMIN_KEY']}"},
            )
            assert reply.status_code == 200, reply.text

    run_the_demo(lambda folder: asyncio.run(set_credential(folder)))


def run_the_demo(before: Callable[[Path], None] = lambda _: None) -> None:
    """Run the demo in a temporary folder; it must succeed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AUTOS_", "TEMPORAL_"))}
    with TemporaryDirectory(prefix="autos-") as made:
        before(Path(made))
        ran = subprocess.run(
            command("demo"),
            cwd=made,
            env=kept,
            capture_output=True,
            text=True,
            timeout=2 * _START_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "The demo succeeded: 41 of 43 documents are stored" in ran.stdout.replace("\n", " ")
        assert not is_running(Path(made) / ".autos")
