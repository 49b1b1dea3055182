"""The data lake's own routes."""

import hashlib

from tests.unit.sandbox.driver import Sandbox

BASE = "/processo-api/api/v1/processos"


async def test_case_and_its_parts(sandbox: Sandbox) -> None:
    """(S14) The same documents as at the portal, by `id` and without hrefs."""
    case = await sandbox.case("two-instances")
    (item,) = (await sandbox.get(f"{BASE}/{case['number']}")).json()
    assert item["numeroProcesso"] == case["masked"]
    parts = {}
    for part in ("documentos", "movimentos", "partes"):
        parts[part] = (await sandbox.get(f"{BASE}/{case['number']}/{part}")).json()[part]
    assert {d["id"] for d in parts["documentos"]} == {d["uuid"] for d in case["documents"]}
    assert parts["documentos"][0]["arquivo"]["tipo"] in ("APPLICATION_PDF", "TEXT_HTML")
    assert any("idDocumento" in movement for movement in parts["movimentos"])
    assert len(parts["partes"]) == 2
    assert (await sandbox.get(f"{BASE}/{case['number']}/existe")).json() is True
    found = await sandbox.get(BASE, params={"numeroProcesso": case["number"]})
    assert found.json()["content"][0]["numeroProcesso"] == case["masked"]


async def test_file_and_its_text(sandbox: Sandbox) -> None:
    case = await sandbox.case("small")
    first = case["documents"][0]
    path = f"{BASE}/{case['number']}/documentos/{first['uuid']}"
    reply = await sandbox.get(f"{path}/binario")
    assert hashlib.sha256(reply.content).hexdigest() == first["sha256"]
    text = await sandbox.get(f"{path}/texto")
    assert hashlib.sha256(text.content).hexdigest() == first["text_sha256"]
    assert (await sandbox.control("counters"))["documents"] == {first["uuid"]: 2}


async def test_file_url_is_available_at_the_second_request(sandbox: Sandbox) -> None:
    case = await sandbox.case("small")
    first = case["documents"][0]
    path = f"{BASE}/{case['number']}/documentos/{first['uuid']}/binario-url"
    early = await sandbox.get(path)
    assert (early.status_code, early.headers["retry-after"]) == (202, "1")
    ready = await sandbox.get(path)
    assert ready.status_code == 200
    file = await sandbox.http.get(ready.text)
    assert hashlib.sha256(file.content).hexdigest() == first["sha256"]


async def test_tokens_and_faults_are_the_portals(sandbox: Sandbox) -> None:
    case = await sandbox.case("small")
    assert (await sandbox.get(f"{BASE}/{case['number']}", token=None)).status_code == 401
    await sandbox.fault("bad_gateway_html", process="small", route="detail")
    assert (await sandbox.get(f"{BASE}/{case['number']}")).status_code == 502
    unknown = "99907777220248260100"
    assert (await sandbox.get(f"{BASE}/{unknown}")).status_code in (400, 404)
