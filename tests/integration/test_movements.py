"""Movements and the source's order in the rows, the API and the manifest."""

import json
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import select, update
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.jobs import JobActivities
from autos.cnj import CaseNumber
from autos.contracts.download import CloseJob
from autos.records import jobs, listings
from autos.records.database import Database
from autos.records.models import Process
from autos.source import ListedDocument, ListedMovement
from autos.store import manifest_key
from tests.integration.api_parts import path, problem
from tests.integration.test_activities import FakeStore
from tests.integration.test_downloads import EARLIER, document, listing, rows


def moved(day: int, linked: str | None = None) -> ListedMovement:
    return ListedMovement(
        at=EARLIER + timedelta(days=day),
        text=f"Juntada do dia {day}",
        kind="Juntada" if linked else None,
        kind_code=67 if linked else None,
        document_id=linked,
        instance="G1",
    )


async def save(
    database: Database,
    case: CaseNumber,
    documents: list[ListedDocument],
    *movements: ListedMovement,
) -> None:
    placed = (replace(each, source_order=place) for place, each in enumerate(documents))
    listed = replace(listing(case, *placed), movements=movements)
    async with database.transaction() as session:
        await jobs.open_job(session, f"job-{case}", case)
        await listings.save_listing(session, listed)


async def test_movements_link_documents_and_are_paged(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    """(S15) In the source's order, linked by any of a document's ids."""
    problem(await api.get(path(case, "/movements")), 404, "process-unknown")
    both = [document("second"), document("first", "other-first")]
    await save(
        database, case, both, moved(3), moved(2, "withheld"), moved(1, "other-first"), moved(0)
    )
    first = (await api.get(path(case, "/movements"), params={"limit": 3})).json()
    assert [item["position"] for item in first["items"]] == [3, 2, 1]
    assert [item["text"][-1] for item in first["items"]] == ["3", "2", "1"]
    plain, withheld, linked = first["items"]
    assert (plain["document_id"], plain["document_uuid"], plain["kind"]) == (None, None, None)
    assert (withheld["document_id"], withheld["document_uuid"]) == (None, "withheld")
    assert (linked["kind"], linked["kind_code"], linked["instance"]) == ("Juntada", 67, "G1")
    listed = (await api.get(path(case, "/documents"))).json()["items"]
    assert linked["document_id"] == next(d["id"] for d in listed if d["uuid"] == "first")
    # A new movement between two pages: none is returned twice, none is missing.
    await save(
        database, case, both, moved(4), moved(3), moved(2), moved(1, "other-first"), moved(0)
    )
    query = {"limit": "3", "cursor": first["next"]}
    rest = (await api.get(path(case, "/movements"), params=query)).json()
    assert ([item["position"] for item in rest["items"]], rest["next"]) == ([0], None)
    query["cursor"] = "nonsense"
    problem(await api.get(path(case, "/movements"), params=query), 400, "invalid-cursor")


@pytest.mark.parametrize("noun", ["documents", "movements", "status"])
async def test_invalid_cursor_is_rejected_for_an_unknown_process(
    api: httpx2.AsyncClient, case: CaseNumber, noun: str
) -> None:
    response = await api.get(path(case, f"/{noun}"), params={"cursor": "nonsense"})
    problem(response, 400, "invalid-cursor")


async def test_movements_stored_under_a_former_name_keep_their_documents(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    """The column is rewritten only when the metadata is fetched again."""
    await save(database, case, [document("first")], moved(1, "first"), moved(0))
    async with database.transaction() as session:
        kept = await session.scalar(select(Process.movements).where(Process.number == case.digits))
        assert kept is not None
        old = [
            {"document" if name == "document_id" else name: value for name, value in one.items()}
            for one in kept
        ]
        await session.execute(
            update(Process).where(Process.number == case.digits).values(movements=old)
        )
    linked, plain = (await api.get(path(case, "/movements"))).json()["items"]
    [listed] = (await api.get(path(case, "/documents"))).json()["items"]
    assert (linked["document_id"], linked["document_uuid"]) == (listed["id"], "first")
    assert (plain["document_id"], plain["document_uuid"]) == (None, None)


async def test_positions_are_stable_and_source_order_is_shown(
    api: httpx2.AsyncClient, case: CaseNumber, database: Database
) -> None:
    """(S15) A new document at the top of the source's list gets the last position."""
    await save(database, case, [document("b"), document("a")])
    await save(database, case, [document("c"), document("b")])
    listed = (await api.get(path(case, "/documents"))).json()["items"]
    assert [(each["uuid"], each["position"], each["source_order"]) for each in listed] == [
        ("b", 0, 1),
        ("a", 1, None),
        ("c", 2, 0),
    ]


async def test_manifest_has_the_case_and_its_movements(
    case: CaseNumber, database: Database, temporal: Client
) -> None:
    """(S29) The store reads the manifest in pieces."""
    await save(database, case, [document("a")], moved(1, "a"), moved(0))
    store = FakeStore()
    closing = CloseJob(job_id=f"job-{case}", process_number=case.digits, states="f")
    await ActivityEnvironment().run(JobActivities(database, store, temporal).close_job, closing)
    manifest = json.loads(store.objects[manifest_key(case.digits)])
    assert (manifest["class_name"], manifest["judging_body"]) == ("Procedimento Comum", "1ª Vara")
    (row,) = await rows(database, case)
    assert [each["document_id"] for each in manifest["movements"]] == [str(row.id), None]
    assert manifest["documents"][0]["origin_id"] == "1"
