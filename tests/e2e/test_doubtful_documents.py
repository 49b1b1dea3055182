"""The service distinguishes a refused document from a refused credential."""

from tests.e2e.clients import Api, Sandbox
from tests.e2e.test_main_job import request_counts

BAD = "99900042220258110041"
"""A case of the catalogue, of another court than the cases created by tests."""


async def test_document_that_returns_401_stops_no_other_job(api: Api, sandbox: Sandbox) -> None:
    """(S1) It is requested three times and fails alone; a job of another court never waits."""
    healthy = await sandbox.new_case(24, size_bytes=2000)
    truth = await sandbox.truth(BAD)
    uuids = [document["uuid"] for document in truth["documents"]]
    bad = uuids[0]
    async with sandbox.fault("unauthorized_empty", BAD, bad):
        await api.start(BAD)
        await api.start(healthy["number"])
        async for status in api.status_polls(healthy["number"]):
            assert status["waiting_for"] is None
        assert (await api.ended(healthy["number"]))["status"] == "completed"
        status = await api.ended(BAD)
    assert status["status"] == "completed_with_failures"
    failed = [row for row in status["documents"] if row["status"] == "failed"]
    assert [(row["uuid"], row["reason"]) for row in failed] == [(bad, "credential")]
    counters = await sandbox.counters()
    assert request_counts(counters, uuids) == [3, *(1 for _ in uuids[1:])]
    healthy_uuids = [document["uuid"] for document in healthy["documents"]]
    assert request_counts(counters, healthy_uuids) == [1] * 24
    state = (await api.request("GET", "/credentials/pdpj")).json()
    assert (state["refused_since"], state["waiting_jobs"]) == (None, 0)


async def test_refused_credential_is_reported_and_replaced(api: Api, sandbox: Sandbox) -> None:
    """(S34) The job waits, the API reports the refusal, and a new credential ends the wait."""
    case = await sandbox.new_case(12, size_bytes=2000)
    await sandbox.control("POST", "/tokens/revoke", json={})
    await api.start(case["number"])
    await api.until_waiting(case["number"], "credential")
    async for _ in api.poll():
        state = (await api.request("GET", "/credentials/pdpj")).json()
        if state["refused_since"] and state["waiting_jobs"]:
            break
    assert ("credential", 1) in [(wait["waiting_for"], wait["jobs"]) for wait in state["waits"]]
    before = (await sandbox.counters())["requests_total"]
    tokens = await sandbox.control("POST", "/tokens", json={})
    new = {"access_token": tokens["access_token"] + "\n"}
    assert (await api.request("PUT", "/credentials/pdpj", json=new)).status_code == 200
    assert (await api.ended(case["number"]))["status"] == "completed"
    uuids = [document["uuid"] for document in case["documents"]]
    assert request_counts(await sandbox.counters(), uuids) == [1] * 12
    assert before < 20
    async for _ in api.poll():
        state = (await api.request("GET", "/credentials/pdpj")).json()
        if state["refused_since"] is None:
            break
    assert state["waiting_jobs"] == 0
    # The other tests of this stack use the sandbox's default token, which a reset restores.
    demo = {"access_token": "sandbox-demo-token"}
    assert (await api.request("PUT", "/credentials/pdpj", json=demo)).status_code == 200
