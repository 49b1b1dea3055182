"""What operators see in the Temporal Web UI."""

import base64
import json

import httpx2

from cli.stack import Stack
from tests.e2e.clients import Api, Sandbox, executions


async def test_web_ui_lists_a_job_by_its_case_number(
    api: Api, sandbox: Sandbox, stack: Stack, http: httpx2.AsyncClient
) -> None:
    case = await sandbox.new_case(7, size_bytes=2000)
    async with sandbox.fault("secret_piece_403", case["number"], case["documents"][0]["uuid"]):
        await api.start(case["number"])
        await api.ended(case["number"])
    (execution,) = await executions(
        stack, http, f'ProcessNumber="{case["number"]}" AND JobStatus="completed_with_failures"'
    )
    assert execution["execution"]["workflowId"] == f"download-process/{case['number']}"
    attributes = {
        name: json.loads(base64.b64decode(payload["data"]))
        for name, payload in execution["searchAttributes"]["indexedFields"].items()
    }
    assert attributes["ProcessNumber"] == case["number"]
    assert attributes["Court"] == "TJSP"
    assert (attributes["DocumentsTotal"], attributes["DocumentsFailed"]) == (7, 1)


async def test_history_has_no_address_name_or_token(
    api: Api, sandbox: Sandbox, stack: Stack, http: httpx2.AsyncClient
) -> None:
    """F32: it has only positions, ids, counts and reasons; and no log has a secret."""
    case = await sandbox.new_case(7, size_bytes=2000)
    await api.start(case["number"], webhook_url="https://receiver.example/hook?secret=synthetic")
    await api.ended(case["number"])
    (execution,) = await executions(
        stack, http, f'ProcessNumber="{case["number"]}" AND ExecutionStatus="Completed"'
    )
    workflow = execution["execution"]["workflowId"].replace("/", "%2F")
    history = await http.get(
        f"{stack.addresses['temporal-ui']}/api/v1/namespaces/default/workflows/{workflow}/history",
        params={"execution.runId": execution["execution"]["runId"]},
    )
    events = history.json()["history"]["events"]
    content = json.dumps(events) + "".join(
        base64.b64decode(payload["data"]).decode() for payload in payloads(events)
    )
    forbidden = [
        "receiver.example",
        "sandbox-demo-token",
        "/binario",
        *(document["uuid"] for document in case["documents"]),
        *(document["name"] for document in case["documents"] if document["name"].strip()),
    ]
    assert [text for text in forbidden if text in content] == []
    logs = {path.name: path.read_text() for path in (stack.data_dir / "logs").glob("*.log")}
    assert "worker_started" in logs["worker.log"]
    environment = stack.settings_environment()
    secret = [
        "secret=synthetic",
        "X-Amz-Signature",
        "Bearer ",
        "whsec_",
        "Fulana",
        "Beltrano",
        *(environment[name] for name in ("AUTOS_PDPJ_TOKEN", "AUTOS_ADMIN_KEY")),
        environment["AUTOS_SECRET_KEY"],
    ]
    found = [(name, text) for name in logs for text in secret if text in logs[name]]
    assert found == []


def payloads(part: object) -> list[dict[str, str]]:
    """All payloads in a history, at any depth."""
    if isinstance(part, list):
        return [payload for item in part for payload in payloads(item)]
    if isinstance(part, dict):
        own = [part] if isinstance(part.get("data"), str) else []
        return own + [payload for item in part.values() for payload in payloads(item)]
    return []
