"""The API matches its OpenAPI document: all checks of schemathesis pass.

`make test` runs a few examples of each operation; `make fuzz MINUTES=20` runs for that long.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from api.app import create_app
from api.downloads import start as downloads
from api.schemas import NUMBER
from autos.cnj import CaseNumber
from autos.contracts.states import JobStatus
from autos.records.database import Database
from autos.settings import Settings
from tests.integration.api_parts import ADMIN_KEY, FakeStore, opener, write_job, write_rows
from tests.integration.conftest import create_database
from tests.integration.serving import serving

CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")
MINUTES: Final = float(os.environ.get("FUZZ_MINUTES", "0"))
AMOUNT: Final = (
    ("--max-time", str(round(MINUTES * 60)), "--generation-database", "none")
    if MINUTES
    else ("--max-examples", "8", "--seed", "1", "--generation-deterministic", "--no-shrink")
)
PATIENCE_SECONDS: Final = 300 + MINUTES * 90


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A separate database, so that schemathesis follows the same links in every run."""
    database = Database.open(Settings(database_url=await create_database(database_url, "schema")))
    yield database
    await database.close()


@pytest.mark.usefixtures("worker")
async def test_schemathesis_finds_no_failure(
    database: Database, temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S41) Statuses, types, headers, bodies, methods and keys match the document."""
    monkeypatch.setattr(downloads, "METADATA_PATIENCE_SECONDS", 0.0)
    # The example number of the OpenAPI document, so the example paths exist.
    case = CaseNumber.parse(NUMBER)
    await write_rows(database, case, "apfq")
    await write_job(database, case, JobStatus.COMPLETED_WITH_FAILURES)
    settings = Settings(
        admin_key=SecretStr(ADMIN_KEY),
        secret_key=SecretStr("k" * 32),
        api_url="http://127.0.0.1",
    )
    app = create_app(settings, opener(database, temporal, FakeStore()))
    async with serving(app) as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
            *("run", f"http://127.0.0.1:{port}/openapi.json", "--checks", "all"),
            *("--header", f"Authorization: Bearer {ADMIN_KEY}"),
            *("--continue-on-failure", "--no-color", *AMOUNT),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    print(output.decode()[-2000:])  # noqa: T201 - the numbers of a long run
    assert process.returncode == 0, output.decode()
