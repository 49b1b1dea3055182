"""Access of other users and parts to the embedded stack's files and secrets."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
import psutil  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from autos.settings import Settings
from cli.stack import EVERYTHING, Stack
from cli.stack.environment import ALL_SECRETS, BUCKET, SECRETS

_OTHER_SECRET = "TOKEN_OF_SOMETHING_ELSE"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack() -> AsyncIterator[Stack]:
    """The whole stack in a new folder, with a permissive umask."""
    patch = pytest.MonkeyPatch()
    patch.setenv(_OTHER_SECRET, "a-secret")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    loose = os.umask(0o022)
    try:
        with TemporaryDirectory(prefix="autos-") as made:
            async with Stack(Path(made) / "data", ports="free") as running:
                yield running
    finally:
        os.umask(loose)
        patch.undo()


def test_no_other_user_can_read_the_stacks_files(stack: Stack) -> None:
    """(S42) Objects, databases, logs, `stack.json`: folders 0700, files 0600."""
    environment = stack.settings_environment()
    boto3.client(
        "s3",
        endpoint_url=environment["AUTOS_S3_ENDPOINT"],
        aws_access_key_id=environment["AUTOS_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AUTOS_S3_SECRET_ACCESS_KEY"],
        region_name=environment["AUTOS_S3_REGION"],
    ).put_object(Bucket=BUCKET, Key="processes/a/b", Body=b"personal")
    seen = {
        path.relative_to(stack.data_dir).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in stack.data_dir.rglob("*")
        # PostgreSQL's files change while it runs; the mode of their folder is checked below.
        if path.relative_to(stack.data_dir).parts[0] != "postgres"
    }
    assert {name: oct(mode) for name, mode in seen.items() if mode & 0o077} == {}
    for name in (
        "stack.json",
        "stack.lock",
        "temporal.sqlite",
        "logs/api.log",
        "spool",
        f"objects/{BUCKET}/processes/a/b",
    ):
        assert name in seen
    assert not (stack.data_dir / "postgres").stat().st_mode & 0o077
    # As root, PostgreSQL runs as another user, whose group may enter the folder.
    others = 0o067 if os.geteuid() == 0 else 0o077
    assert not stack.data_dir.stat().st_mode & others
    assert not stack.data_dir.stat().st_mode & 0o007


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("part", [name for name in EVERYTHING if name != "migrations"])
def test_part_has_only_the_secrets_it_needs(stack: Stack, part: str) -> None:
    """(S42) The process does not inherit other variables of the terminal."""
    pid = stack.pid(part)
    assert pid is not None
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in processes:
        entries = Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0")
        found = {entry.partition("=")[0] for entry in entries if entry}
        assert found & ALL_SECRETS <= SECRETS[part]
        assert _OTHER_SECRET not in found
    generated = {"postgres": set(), "temporal": set(), "sandbox": set(), "s3": {"RCLONE_AUTH_KEY"}}
    ours = {"AUTOS_DATABASE_URL", "AUTOS_SECRET_KEY", "AUTOS_S3_SECRET_ACCESS_KEY"}
    assert found >= generated.get(part, ours)


def test_every_secret_setting_is_in_the_table() -> None:
    """(S42) A new secret must be assigned to the parts that need it."""
    secret = {
        f"AUTOS_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    }
    assert secret <= ALL_SECRETS
    assert {name for names in SECRETS.values() for name in names if name.startswith("AUTOS_")} <= {
        f"AUTOS_{name.upper()}" for name in Settings.model_fields
    }


async def test_refused_second_start_does_not_change_folder_modes(stack: Stack) -> None:
    """(S42) PostgreSQL's user can still enter the folder."""
    await stack.kill("postgres")
    async with asyncio.timeout(120):
        await stack.wait_ready("postgres")
