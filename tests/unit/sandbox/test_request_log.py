"""Counters and the request log."""

import asyncio
import hashlib

from tests.unit.sandbox.driver import TOKEN, Sandbox


async def test_counts(sandbox: Sandbox) -> None:
    paths = [await sandbox.path("small", index) for index in (0, 1)]
    for path in (*paths, paths[0], "/consulta"):
        await sandbox.get(path)
    await sandbox.get(paths[0], token="garbled")
    counters = await sandbox.control("counters")
    documents = [path.split("/")[-2] for path in paths]
    assert counters["requests_total"] == 5
    assert counters["requests_by_path"] == {paths[0]: 3, paths[1]: 1, "/consulta": 1}
    assert counters["documents"] == {documents[0]: 3, documents[1]: 1}
    assert counters["by_status"] == {"200": 4, "401": 1}
    hashes = [hashlib.sha256(token.encode()).hexdigest()[:12] for token in (TOKEN, "garbled")]
    assert counters["tokens_seen"] == sorted(hashes)
    await sandbox.control("reset", {})
    assert (await sandbox.control("counters"))["requests_total"] == 0


async def test_in_flight(sandbox: Sandbox) -> None:
    small = [await sandbox.path("small", index) for index in range(4)]
    demo = [await sandbox.path("demo", index) for index in range(2)]
    await sandbox.fault("hang")
    waiting = [asyncio.create_task(sandbox.get(path)) for path in small + demo]
    async with asyncio.timeout(30):
        while (await sandbox.control("counters"))["in_flight_now"] < 6:
            await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    async with asyncio.timeout(30):
        while (counters := await sandbox.control("counters"))["in_flight_now"]:
            await asyncio.sleep(0.01)
    numbers = [(await sandbox.case(name))["number"] for name in ("small", "demo")]
    assert counters["in_flight_max"] == 6
    assert counters["in_flight_max_by_process"] == {numbers[0]: 4, numbers[1]: 2}
    await sandbox.http.delete("/control/faults")
    for path in small:
        await sandbox.get(path)
    assert (await sandbox.control("counters"))["in_flight_max"] == 6


async def test_request_log(sandbox: Sandbox) -> None:
    path = await sandbox.path()
    reply = await sandbox.get(path)
    await sandbox.get("/consulta")
    first, second = await sandbox.control("requests")
    assert (first["method"], first["path"], first["status"]) == ("GET", path, 200)
    assert first["sent_bytes"] == len(reply.content)
    assert first["seconds"] is not None
    assert TOKEN not in str(first)
    assert await sandbox.control(f"requests?after={first['id']}") == [second]


async def test_latency_is_the_documents_only(sandbox: Sandbox) -> None:
    path = await sandbox.path()
    await sandbox.control("switches", {"latency_ms": 200})
    await sandbox.detail("small")
    await sandbox.get(path)
    detail, document = await sandbox.control("requests")
    assert detail["seconds"] < 0.2 <= document["seconds"]


async def test_request_log_names_the_faults_that_struck(sandbox: Sandbox) -> None:
    path = await sandbox.path()
    await sandbox.fault("stub_codex_down", when={"mode": "first", "count": 1})
    await sandbox.get(path)
    await sandbox.get(path)
    struck, spared = await sandbox.control("requests")
    assert (struck["status"], struck["faults"]) == (200, ["stub_codex_down"])
    assert (spared["status"], spared["faults"]) == (200, [])
