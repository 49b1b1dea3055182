"""What arrives at a receiver of the whole service: signed, as published, with links that open."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
from standardwebhooks import Webhook

from cli.stack import Stack
from tests.e2e.clients import BOUND, Api, Sandbox

SCHEMAS = Path(__file__).parents[2] / "docs" / "reference" / "webhook-schemas"


async def received(sandbox: Sandbox, name: str) -> list[dict[str, Any]]:
    """What a receiver got, once it got something."""
    async with asyncio.timeout(BOUND):
        while True:
            requests = (await sandbox.control("GET", f"/receiver/{name}"))["requests"]
            if requests:
                return list(requests)
            await asyncio.sleep(0.05)


def described(schema: dict[str, Any], name: str | None = None) -> set[str]:
    """The members that a published schema knows."""
    return set((schema["$defs"][name] if name else schema)["properties"])


async def test_what_arrives_is_signed_and_published_and_its_links_open_the_recorded_bytes(
    api: Api, sandbox: Sandbox, stack: Stack, http: httpx2.AsyncClient
) -> None:
    """F7, F32, F34: by GET, with a secret in the address's query, which no log tells."""
    secret = (await api.request("POST", "/webhooks/secret/rotate")).json()["secret"]
    case = await sandbox.new_case(6, size_bytes=2000)
    address = f"{sandbox.url}/receiver/full?token=in-the-query"
    async with sandbox.fault("secret_piece_403", case["number"], case["documents"][0]["uuid"]):
        await api.request("GET", f"/processes/{case['number']}", params={"webhook_url": address})
        (request,) = await received(sandbox, "full")
    event = Webhook(secret).verify(request["body"], request["headers"])
    data = event["data"]
    schema = json.loads((SCHEMAS / "full.json").read_text())
    assert set(event) == described(schema)
    assert set(data) == described(schema, "FullData")
    assert all(set(each) == described(schema, "EventDocument") for each in data["documents"])

    known = {document["uuid"]: document["sha256"] for document in case["documents"]}
    stored = [document for document in data["documents"] if document["status"] == "available"]
    (failed,) = (document for document in data["documents"] if document not in stored)
    assert (failed["uuid"], failed["reason"]) == (case["documents"][0]["uuid"], "secret")
    assert failed["download_url"] is None
    for document in stored:
        assert document["sha256"] == known[document["uuid"]]
        assert await api.sha256(document["download_url"]) == document["sha256"]
        expires = httpx2.URL(document["download_url"]).params["X-Amz-Expires"]
        assert 3600 <= int(expires) <= 3900
        assert (await http.get(document["content_url"])).status_code == 401
        headers = {"Authorization": f"Bearer {api.key}"}
        link = await http.get(document["content_url"], headers=headers)
        assert await api.sha256(link.headers["location"]) == document["sha256"]
    manifest = (await http.get(data["manifest_url"])).json()
    assert manifest["total_documents"] == data["total_documents"] == 6

    logs = "".join(log.read_text() for log in (stack.data_dir / "logs").glob("*.log"))
    assert request["headers"]["webhook-id"] in logs
    signature = request["headers"]["webhook-signature"].split()[0]
    for hidden in ("in-the-query", "X-Amz-Signature", secret, signature, api.key):
        assert hidden not in logs


async def test_an_address_is_told_once_a_job_and_again_by_one_that_finds_nothing_to_do(
    api: Api, sandbox: Sandbox
) -> None:
    """F11."""
    case = await sandbox.new_case(3, size_bytes=2000)
    await sandbox.control("POST", "/switches", json={"latency_ms": 300})
    for _ in range(3):
        await api.start(case["number"], webhook_url=f"{sandbox.url}/receiver/thrice")
    await api.ended(case["number"])
    later = {"webhook_url": f"{sandbox.url}/receiver/later", "payload": "thin"}
    await api.request("POST", f"/processes/{case['number']}/downloads", json=later)
    (told,) = await received(sandbox, "later")
    event = json.loads(told["body"])
    schema = json.loads((SCHEMAS / "thin.json").read_text())
    assert set(event["data"]) == described(schema, "ThinData")
    assert event["type"] == "process.download.completed"
    assert len(await received(sandbox, "thrice")) == 1
    assert set((await sandbox.counters())["documents"].values()) == {1}
