"""One document that is refused, and a credential that is: told apart by the running service."""

from tests.e2e.clients import Api, Sandbox
from tests.e2e.test_main_job import asked

BAD = "99900042220258110041"
"""A case of the catalogue, of another court than the cases that tests make."""


async def test_one_document_that_answers_401_stops_no_other_job(api: Api, sandbox: Sandbox) -> None:
    """(S1) It is asked for three times and fails alone; a job of another court never waits."""
    healthy = await sandbox.new_case(24, size_bytes=2000)
    truth = await sandbox.truth(BAD)
    uuids = [document["uuid"] for document in truth["documents"]]
    bad = uuids[0]
    async with sandbox.fault("unauthorized_empty", BAD, bad):
        await api.start(BAD)
        await api.start(healthy["number"])
        async for status in api.polls(healthy["number"]):
            assert status["waiting_for"] is None
        assert (await api.ended(healthy["number"]))["status"] == "completed"
        status = await api.ended(BAD)
    assert status["status"] == "completed_with_failures"
    failed = [row for row in status["documents"] if row["status"] == "failed"]
    assert [(row["uuid"], row["reason"]) for row in failed] == [(bad, "credential")]
    counters = await sandbox.counters()
    assert asked(counters, uuids) == [3, *(1 for _ in uuids[1:])]
    healthy_uuids = [document["uuid"] for document in healthy["documents"]]
    assert asked(counters, healthy_uuids) == [1] * 24
    state = (await api.request("GET", "/credentials/pdpj")).json()
    assert (state["refused_since"], state["waiting_jobs"]) == (None, 0)


async def test_a_credential_that_the_source_refuses_is_seen_and_mended(
    api: Api, sandbox: Sandbox
) -> None:
    """(S34) The job waits, the API says since when and for how many; a new one ends all of it."""
    case = await sandbox.new_case(12, size_bytes=2000)
    await sandbox.control("POST", "/tokens/revoke", json={})
    await api.start(case["number"])
    await api.until_waiting(case["number"], "credential")
    async for _ in api.patience():
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
    assert asked(await sandbox.counters(), uuids) == [1] * 12
    assert before < 20
    async for _ in api.patience():
        state = (await api.request("GET", "/credentials/pdpj")).json()
        if state["refused_since"] is None:
            break
    assert state["waiting_jobs"] == 0
    # The other tests of this stack go on with the token of the sandbox, which a reset restores.
    demo = {"access_token": "sandbox-demo-token"}
    assert (await api.request("PUT", "/credentials/pdpj", json=demo)).status_code == 200
