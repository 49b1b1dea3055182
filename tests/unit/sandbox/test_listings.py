"""Faults of listings and limits: items 29 to 31."""

import asyncio
import hashlib

import pytest

from tests.unit.sandbox.driver import Sandbox

PATH = "/api/v2/processos"
PORTFOLIO = {"cpfCnpjParte": "00000000272"}


async def all_pages(sandbox: Sandbox) -> tuple[list[int], object]:
    """The sizes of the pages, and what the page after the last answers."""
    asked = dict(PORTFOLIO)
    sizes: list[int] = []
    for _ in range(10):
        reply = await sandbox.get(PATH, params=asked)
        page = reply.json()
        if reply.status_code != 200 or not page["content"]:
            return sizes, (reply.status_code, page.get("content", "absent"))
        sizes.append(page["numberOfElements"])
        asked["searchAfter"] = ",".join(str(part) for part in page["searchAfter"])
    raise AssertionError("The listing never ends.")


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        (None, (404, "absent")),
        ("search_end_404", (404, "absent")),
        ("search_end_empty", (200, [])),
        ("search_end_null", (200, None)),
    ],
)
async def test_29_end_of_pages(sandbox: Sandbox, fault: str | None, end: object) -> None:
    if fault is not None:
        await sandbox.fault(fault)
    assert await all_pages(sandbox) == ([100, 100, 50], end)


async def test_29_failing_middle_page(sandbox: Sandbox) -> None:
    await sandbox.fault("search_page_fails", parameters={"page": 2})
    assert await all_pages(sandbox) == ([100], (503, "absent"))


async def test_29_one_item_per_run(sandbox: Sandbox) -> None:
    await sandbox.fault("search_split_item")
    asked = {"numeroProcesso": (await sandbox.case("two-instances"))["number"]}
    content = (await sandbox.get(PATH, params=asked)).json()["content"]
    assert len({item["numeroProcesso"] for item in content}) == 1
    assert [len(item["tramitacoes"]) for item in content] == [1, 1]


async def test_30_change_over_time(sandbox: Sandbox) -> None:
    before = (await sandbox.detail("small"))["tramitacaoAtual"]["documentos"]
    await sandbox.control("cases/small/change", {"add": 2, "remove": 3, "move": 5})
    after = (await sandbox.detail("small"))["tramitacaoAtual"]["documentos"]
    old = {document["hrefBinario"]: document for document in before}
    new = {document["hrefBinario"]: document for document in after}
    assert len(after) == 8
    assert list(old)[3] not in new
    assert set(list(new)[:2]).isdisjoint(old)
    changed = [href for href in old.keys() & new.keys() if old[href] != new[href]]
    assert changed == [list(old)[5]]
    assert old[changed[0]] | {"sequencia": 92} == new[changed[0]]
    assert (await sandbox.get("/api/v2" + next(iter(new)))).status_code == 200
    assert (await sandbox.get("/api/v2" + list(old)[3])).status_code == 404
    await sandbox.control("reset", {})
    assert (await sandbox.detail("small"))["tramitacaoAtual"]["documentos"] == before


async def test_30_a_file_is_replaced(sandbox: Sandbox) -> None:
    before = await sandbox.case("small")
    after = await sandbox.control("cases/small/change", {"replace": 3})
    changed = [
        (old, new)
        for old, new in zip(before["documents"], after["documents"], strict=True)
        if old != new
    ]
    ((old, new),) = changed
    assert old["uuid"] == new["uuid"]
    assert new["size"] == old["size"] + 1000
    path = f"/api/v2/processos/{after['masked']}/documentos/{new['uuid']}/binario"
    reply = await sandbox.get(path)
    assert hashlib.sha256(reply.content).hexdigest() == new["sha256"] != old["sha256"]
    await sandbox.control("reset", {})
    assert await sandbox.case("small") == before


async def test_31_burst(sandbox: Sandbox) -> None:
    path = await sandbox.path()
    await sandbox.control("burst", {"max_per_second": 5})
    replies = await asyncio.gather(*(sandbox.get(path) for _ in range(12)))
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [200] * 5 + [503] * 7
    await sandbox.control("burst", {"max_per_second": None})
    assert (await sandbox.get(path)).status_code == 200
