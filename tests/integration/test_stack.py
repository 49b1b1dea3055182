"""The embedded stack with its real servers: restarts keep data, and its end leaves no process.

Every wait is for a condition and bounded.
"""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import asyncpg
import boto3
import psutil  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from temporalio.client import Client, WorkflowExecutionStatus

from cli.stack import SERVERS, AlreadyRunning, Stack, servers
from cli.stack.environment import BUCKET, StackLayout
from cli.stack.ports import listens
from cli.stack.servers import Part
from cli.stack.state import PROCESSES_FILE, STATE_FILE, read_json


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack() -> AsyncIterator[Stack]:
    with TemporaryDirectory(prefix="autos-") as data_dir:
        async with Stack(Path(data_dir), parts=SERVERS, ports="free") as running:
            yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's tmp_path: each session revokes other users' access to its parent, and as root
    # PostgreSQL runs as another user.
    with TemporaryDirectory(prefix="autos-") as made:
        yield Path(made)


async def test_postgres_restarts_with_its_rows_after_a_kill(stack: Stack) -> None:
    await write_row(stack, "kept")
    before = stack.pid("postgres")
    await stack.kill("postgres")
    await stack.wait_ready("postgres")
    assert stack.pid("postgres") not in (None, before)
    assert "kept" in await rows(stack)


async def test_temporal_restarts_with_its_workflows_after_a_kill(stack: Stack) -> None:
    workflow_id = await start_workflow(stack)
    before = stack.pid("temporal")
    await stack.kill("temporal")
    await stack.wait_ready("temporal")
    assert stack.pid("temporal") not in (None, before)
    assert await workflow_runs(stack, workflow_id)


async def test_s3_restarts_with_its_objects_after_a_kill(stack: Stack) -> None:
    """Unfinished uploads are removed."""
    await put(stack, "a/b", b"kept")
    before = stack.pid("s3")
    # The name of an unfinished upload of rclone.
    unfinished = stack.data_dir / "objects" / BUCKET / "a" / ".rclone_temp_put_48d7c2ad"
    unfinished.touch()
    await stack.kill("s3")
    await stack.wait_ready("s3")
    assert stack.pid("s3") not in (None, before)
    assert not unfinished.exists()
    assert await get(stack, "a/b") == b"kept"


async def test_part_killed_with_stay_down_waits_for_its_start(stack: Stack) -> None:
    await stack.kill("s3", stay_down=True)
    assert stack.pid("s3") is None
    stack.start("s3")
    await stack.wait_ready("s3")
    assert stack.pid("s3") is not None


async def test_temporal_has_the_search_attributes(stack: Stack) -> None:
    client = await connect(stack)
    count = await client.count_workflows(
        'ProcessNumber="1" AND Court="TRF3" AND JobStatus="x" AND WaitingFor="x" '
        "AND DocumentsTotal=1 AND DocumentsFailed=0"
    )
    assert count.count == 0


async def test_servers_accept_only_the_generated_secrets(stack: Stack) -> None:
    environment = stack.settings_environment()
    url = environment["AUTOS_DATABASE_URL"].replace("autos:", "autos:no", 1)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)
    for user in ("postgres", "pgserver"):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(url.replace("autos:", f"{user}:", 1), password="")
    with pytest.raises(ClientError) as refused:
        await asyncio.to_thread(s3_client(stack, secret="no").list_objects_v2, Bucket="autos")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_secrets_are_readable_by_their_owner_only(stack: Stack) -> None:
    mode = stat.S_IMODE((stack.data_dir / STATE_FILE).stat().st_mode)
    assert mode == 0o600


async def test_second_start_on_the_same_folder_is_refused(stack: Stack) -> None:
    await write_row(stack, "before the second start")
    with pytest.raises(AlreadyRunning, match="is already running"):
        await Stack(stack.data_dir, parts=SERVERS).up()
    assert "before the second start" in await rows(stack)


async def test_stop_leaves_no_process_and_next_start_finds_the_data(folder: Path) -> None:
    async with Stack(folder / "data", parts=SERVERS, ports="free") as first:
        await write_row(first, "kept")
        await put(first, "a", b"kept")
        workflow_id = await start_workflow(first)
        processes = [psutil.Process(first.pid(name)) for name in SERVERS]
        processes += [child for process in processes for child in process.children(recursive=True)]
    assert not any(process.is_running() for process in processes)

    async with Stack(folder / "data", parts=SERVERS, ports="free") as second:
        assert second.settings_environment() == first.settings_environment()
        assert await rows(second) == ["kept"]
        assert await get(second, "a") == b"kept"
        assert await workflow_runs(second, workflow_id)


_SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from cli.stack import SERVERS, Stack

async def main():
    async with Stack(Path(sys.argv[1]), parts=SERVERS, ports="free"):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems clean up at the next start")
async def test_killed_supervisor_leaves_no_process(folder: Path) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SUPERVISOR, str(folder)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert supervisor.stdout is not None
    async with asyncio.timeout(120):
        assert await supervisor.stdout.readline() == b"ready\n"
    recorded = read_json(folder / PROCESSES_FILE)
    assert isinstance(recorded, dict)
    processes = [psutil.Process(entry["pid"]) for entry in recorded.values()]
    assert len(processes) == len(SERVERS)
    processes += [child for process in processes for child in process.children(recursive=True)]

    os.kill(supervisor.pid, signal.SIGKILL)
    await supervisor.communicate()
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=30)
    assert alive == []


async def test_leftover_process_is_ended_and_a_used_port_is_avoided(folder: Path) -> None:
    announced: list[str] = []
    async with Stack(folder, parts=["s3"], ports="free") as first:
        port = port_of(first)
    leftover = subprocess.Popen(["sleep", "60"])
    began = psutil.Process(leftover.pid).create_time()
    # The second entry has a pid that now belongs to another process: this test.
    recorded = {
        "api": {"pid": leftover.pid, "began": began},
        "worker": {"pid": os.getpid(), "began": began - 3600},
    }
    (folder / PROCESSES_FILE).write_text(json.dumps(recorded))
    with socket.create_server(("127.0.0.1", port)):
        async with Stack(folder, parts=["s3"], ports="free", announce=announced.append) as second:
            assert port_of(second) != port
    leftover.wait(timeout=30)
    assert announced[:2] == [
        "Ended the api process of an earlier start.",
        f"Port {port} is in use; s3 listens on {port_of(second)} this time.",
    ]


async def test_port_taken_during_the_start_is_avoided(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S33) The stack uses another port and sends the other program no request."""
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readline())
        writer.close()

    others: list[asyncio.Server] = []
    prepare = servers.sandbox

    def sandbox(layout: StackLayout, *rest: Any) -> Part:
        part = prepare(layout, *rest)

        def take() -> None:
            # Between the check of the port and the part's start.
            if not others:
                coroutine = asyncio.start_server(answer, "127.0.0.1", layout.ports["sandbox"])
                others.append(asyncio.run_coroutine_threadsafe(coroutine, loop).result(5))

        return replace(part, prepare=take)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(servers, "sandbox", sandbox)
    announced: list[str] = []
    async with Stack(folder, parts=["sandbox"], ports="free", announce=announced.append) as stack:
        taken = others[0].sockets[0].getsockname()[1]
        own = int(stack.addresses["sandbox"].rsplit(":", 1)[1])
        assert own != taken
        assert listens(stack.pid("sandbox") or 0, {own})
    others[0].close()
    assert received == []
    assert "Another program took a port during the start; starting again." in announced
    assert f"Port {taken} is in use; sandbox listens on {own} this time." in announced


def port_of(stack: Stack) -> int:
    return int(stack.addresses["s3"].rsplit(":", 1)[1])


async def database(stack: Stack) -> Any:
    return await asyncpg.connect(stack.settings_environment()["AUTOS_DATABASE_URL"])


async def write_row(stack: Stack, text: str) -> None:
    connection = await database(stack)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", text)
    await connection.close()


async def rows(stack: Stack) -> list[str]:
    connection = await database(stack)
    found = [row["text"] for row in await connection.fetch("SELECT text FROM kept")]
    await connection.close()
    return found


def s3_client(stack: Stack, secret: str | None = None) -> Any:
    environment = stack.settings_environment()
    return boto3.client(
        "s3",
        endpoint_url=environment["AUTOS_S3_ENDPOINT"],
        aws_access_key_id=environment["AUTOS_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or environment["AUTOS_S3_SECRET_ACCESS_KEY"],
        region_name=environment["AUTOS_S3_REGION"],
    )


async def put(stack: Stack, key: str, body: bytes) -> None:
    await asyncio.to_thread(s3_client(stack).put_object, Bucket="autos", Key=key, Body=body)


async def get(stack: Stack, key: str) -> bytes:
    read: Callable[[], bytes] = lambda: (  # noqa: E731
        s3_client(stack).get_object(Bucket="autos", Key=key)["Body"].read()
    )
    return await asyncio.to_thread(read)


async def connect(stack: Stack) -> Client:
    return await Client.connect(stack.settings_environment()["TEMPORAL_ADDRESS"])


async def start_workflow(stack: Stack) -> str:
    client = await connect(stack)
    handle = await client.start_workflow("Unknown", id=str(uuid4()), task_queue="without-worker")
    return handle.id


async def workflow_runs(stack: Stack, workflow_id: str) -> bool:
    description = await (await connect(stack)).get_workflow_handle(workflow_id).describe()
    return description.status is WorkflowExecutionStatus.RUNNING
