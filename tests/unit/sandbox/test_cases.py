"""Creating cases by the control routes, and their reproducibility."""

import asyncio
import hashlib
import time
from typing import Any

import pytest

from tests.unit.sandbox.driver import Sandbox, started


@pytest.mark.parametrize("shape", ["simple", "listed-twice", "two-instances"])
async def test_make_a_case(sandbox: Sandbox, shape: str) -> None:
    body = {"documents": 10, "size_bytes": 5000, "shape": shape}
    case = await sandbox.control("cases", body)
    assert case["total"] == len(case["documents"]) == 10
    for document in case["documents"]:
        assert document["size"] == 5000
        assert len(document["uuids"]) == (2 if shape == "listed-twice" else 1)
        for uuid in document["uuids"]:
            path = f"/api/v2/processos/{case['masked']}/documentos/{uuid}/binario"
            reply = await sandbox.get(path)
            assert hashlib.sha256(reply.content).hexdigest() == document["sha256"]
    assert await sandbox.case(case["masked"]) == case


async def test_make_a_case_of_a_given_number(sandbox: Sandbox) -> None:
    body: dict[str, Any] = {"number": "9990888-55.2024.4.03.6100", "documents": 2}
    wrong = await sandbox.http.post("/control/cases", json=body)
    assert wrong.status_code == 422
    assert "check digits" in wrong.text
    body["number"] = "9990777-21.2024.4.03.6100"
    first = await sandbox.control("cases", body)
    other = await sandbox.control("cases", body | {"seed": 1})
    assert [d["uuid"] for d in first["documents"]] == [d["uuid"] for d in other["documents"]]
    assert first["documents"] != other["documents"]
    taken = {"number": (await sandbox.case("demo"))["number"], "documents": 1}
    assert (await sandbox.http.post("/control/cases", json=taken)).status_code == 409


async def test_cases_are_the_same_after_a_restart() -> None:
    names = ("demo", "listed-twice", "two-instances", "thousand", "odd-addresses")
    runs = []
    for _ in range(2):
        async with started("--token", "outro") as own:
            made = await own.control("cases", {"documents": 20})
            cases = [await own.case(name) for name in names]
            detail = await own.get(f"/api/v2/processos/{cases[0]['masked']}", token="outro")
            assert detail.status_code == 200
            runs.append((made, cases, detail.content.replace(own.url.encode(), b"")))
    assert runs[0] == runs[1]


async def test_sigterm_ends_the_sandbox_within_two_seconds() -> None:
    async with started() as own:
        path = await own.path()
        await own.fault("hang")
        waiting = asyncio.create_task(own.get(path))
        async with asyncio.timeout(30):
            while not (await own.control("counters"))["in_flight_now"]:
                await asyncio.sleep(0.01)
        begun = time.monotonic()
        own.process.terminate()
        await asyncio.wait_for(own.process.wait(), 5)
        assert time.monotonic() - begun < 2
        assert own.process.returncode == 0
        await asyncio.gather(waiting, return_exceptions=True)


async def test_giant_is_streamed(sandbox: Sandbox) -> None:
    case = await sandbox.case("giant")
    (giant,) = [d for d in case["documents"] if d["size"] > 300_000_000]
    path = f"/api/v2/processos/{case['number']}/documentos/{giant['uuid']}/binario"
    digest = hashlib.sha256()
    headers = {"Authorization": "Bearer sandbox-demo-token"}
    async with sandbox.http.stream("GET", path, headers=headers) as reply:
        assert reply.headers["content-length"] == str(giant["size"])
        async for chunk in reply.aiter_raw():
            digest.update(chunk)
    assert digest.hexdigest() == giant["sha256"]
