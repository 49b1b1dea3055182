"""`autos doctor` on the whole stack: through the command, the API, Temporal and a worker."""

import asyncio
import os
import sys

import httpx2

from cli.stack import Stack
from tests.e2e.clients import BOUND, Api, Sandbox


async def test_the_doctor_finds_all_well_after_a_job(
    api: Api, sandbox: Sandbox, stack: Stack, http: httpx2.AsyncClient
) -> None:
    case = await sandbox.new_case(7, size_bytes=2000)
    await api.start(case["number"])
    await api.ended(case["number"])
    environment = stack.settings_environment()
    words = ("--url", environment["AUTOS_API_URL"], "--key", environment["AUTOS_ADMIN_KEY"])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "doctor", "--dry-run", *words),
        stdout=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("AUTOS_")},
    )
    output, _ = await asyncio.wait_for(process.communicate(), BOUND)
    said = output.decode()
    assert process.returncode == 0, said
    assert "records: answers." in said
    assert "Records, Temporal and the bucket agree." in said
    for schedule in ("reconcile", "reconcile-objects"):
        address = f"{stack.addresses['temporal-ui']}/api/v1/namespaces/default/schedules"
        assert (await http.get(f"{address}/{schedule}")).status_code == 200
