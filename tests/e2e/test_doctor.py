"""`autos doctor` on the whole stack: through the command, the API, Temporal and a worker."""

import asyncio
import os
import sys

import httpx2

from api.diagnosis.checks import CHECKS
from cli.stack import Stack
from tests.e2e.clients import BOUND, Api, Sandbox


async def doctor(stack: Stack) -> tuple[int | None, str]:
    """Run the command against the stack and return its exit code and output."""
    environment = stack.settings_environment()
    options = ("--url", environment["AUTOS_API_URL"], "--key", environment["AUTOS_ADMIN_KEY"])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "doctor", "--dry-run", *options),
        stdout=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("AUTOS_")},
    )
    output, _ = await asyncio.wait_for(process.communicate(), BOUND)
    return process.returncode, output.decode()


async def test_doctor_passes_every_check_after_a_job(
    api: Api, sandbox: Sandbox, stack: Stack, http: httpx2.AsyncClient
) -> None:
    case = await sandbox.new_case(7, size_bytes=2000)
    await api.start(case["number"])
    await api.ended(case["number"])
    code, output = await doctor(stack)
    assert code == 0, output
    for name in CHECKS:
        assert f"ok   {name}: " in output
    assert "Records, Temporal and the bucket agree." in output
    for schedule in ("reconcile", "reconcile-objects"):
        address = f"{stack.addresses['temporal-ui']}/api/v1/namespaces/default/schedules"
        assert (await http.get(f"{address}/{schedule}")).status_code == 200


async def test_doctor_reports_a_refused_token_and_a_rate_limiting_source(
    sandbox: Sandbox, stack: Stack
) -> None:
    """Doctor sends a request to the source, so no job has to fail first."""
    async with sandbox.fault("unauthorized_empty"):
        code, output = await doctor(stack)
    assert code == 1
    assert "!!   source: " in output
    assert "autos credentials set" in output
    async with sandbox.fault("rate_limited"):
        code, output = await doctor(stack)
    assert code == 1
    assert "AUTOS_SOURCE_MAX_IN_FLIGHT" in output
