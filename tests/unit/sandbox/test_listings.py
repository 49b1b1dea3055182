"""Faults of listings, changes of cases, and rate limits."""

import asyncio
import hashlib
import json
from typing import Any

import pytest

from tests.unit.sandbox.driver import Sandbox

PATH = "/api/v2/processos"
PORTFOLIO = {"cpfCnpjParte": "00000000272"}


async def all_pages(sandbox: Sandbox) -> tuple[list[int], object]:
    """The sizes of the pages, and the response to the page after the last."""
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
async def test_end_of_pages(sandbox: Sandbox, fault: str | None, end: object) -> None:
    if fault is not None:
        await sandbox.fault(fault)
    assert await all_pages(sandbox) == ([100, 100, 50], end)


async def test_failing_middle_page(sandbox: Sandbox) -> None:
    await sandbox.fault("search_page_fails", parameters={"page": 2})
    assert await all_pages(sandbox) == ([100], (503, "absent"))


async def test_one_item_per_run(sandbox: Sandbox) -> None:
    await sandbox.fault("search_split_item")
    asked = {"numeroProcesso": (await sandbox.case("two-instances"))["number"]}
    content = (await sandbox.get(PATH, params=asked)).json()["content"]
    assert len({item["numeroProcesso"] for item in content}) == 1
    assert [len(item["tramitacoes"]) for item in content] == [1, 1]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("cpfCnpjParte", "000.000.002-72", 250),
        ("cpfCnpjParte", "00000000191", 0),
        ("oabRepresentante", "SP999999", 250),
        ("oabRepresentante", "RJ1", 0),
        ("tribunal", "TRT2,TJMT", 3),
        ("siglaTribunal", "TJRS", 1),
        ("idClasse", "8", 0),
        ("nomeParte", "fulana de tal 90004", 1),
        ("outroNomeParte", "Fulana 239 de Tal", 1),
    ],
)
async def test_known_filters_are_obeyed(
    sandbox: Sandbox, name: str, value: str, found: int
) -> None:
    reply = await sandbox.get(PATH, params={name: value})
    assert reply.json().get("total", 0) == found
    assert reply.status_code == (200 if found else 404)


async def test_movements_link_documents_and_have_types(sandbox: Sandbox) -> None:
    """(S15) The detail has neither."""
    item = await sandbox.detail("small")
    plain = item["tramitacaoAtual"]["movimentos"]
    asked = {"numeroProcesso": item["numeroProcesso"]}
    (hit,) = (await sandbox.get(PATH, params=asked)).json()["content"]
    rich = hit["tramitacoes"][0]["movimentos"]
    for movement, other in zip(plain, rich, strict=True):
        assert set(movement) == {"dataHora", "descricao"}
        assert movement["descricao"] == other["descricao"]
    uuids = {document["uuid"] for document in (await sandbox.case("small"))["documents"]}
    linked = [movement for movement in rich if "idDocumento" in movement]
    assert 0 < len(linked) < len(uuids)
    assert {movement["idDocumento"] for movement in linked} < uuids
    assert all(movement["tipo"]["nome"] for movement in linked)


async def faulty_detail(sandbox: Sandbox, fault: str, **parameters: Any) -> Any:
    await sandbox.fault(fault, process="two-instances", parameters=parameters)
    case = await sandbox.case("two-instances")
    reply = await sandbox.get(f"{PATH}/{case['masked']}")
    assert reply.status_code == 200
    return reply


async def test_details_in_other_shapes(sandbox: Sandbox) -> None:
    """(S14) A bare object, documents at the root or in the basic data, a page, the lake's own."""
    usual = await sandbox.detail("two-instances")
    bare = (await faulty_detail(sandbox, "detail_bare_object")).json()
    assert bare == usual
    await sandbox.control("reset", {})
    assert (await faulty_detail(sandbox, "detail_in_content")).json() == {"content": [usual]}
    await sandbox.control("reset", {})
    (root,) = (await faulty_detail(sandbox, "detail_root_documents")).json()
    assert len(root["documentos"]) == 24
    assert not {"tramitacaoAtual", "tramitacoes"} & set(root)
    await sandbox.control("reset", {})
    (basic,) = (await faulty_detail(sandbox, "detail_basic_data")).json()
    assert basic["dadosBasicos"] == usual["tramitacaoAtual"]
    await sandbox.control("reset", {})
    (lake,) = (await faulty_detail(sandbox, "detail_lake")).json()
    documents = lake["tramitacaoAtual"]["documentos"]
    assert {"id", "signatarios"} <= set(documents[0])
    assert not any("hrefBinario" in document for document in documents)
    assert lake["situacaoAtual"] is None


async def test_detail_can_be_nested_deep(sandbox: Sandbox) -> None:
    reply = await faulty_detail(sandbox, "nested")
    deep, depth = reply.json()[0]["aninhado"], 1
    while deep:
        (deep,), depth = deep, depth + 1
    assert depth == 600
    await sandbox.control("reset", {})
    reply = await faulty_detail(sandbox, "nested", depth=200_000)
    assert reply.content.count(b"[") > 200_000


async def test_json_in_another_charset(sandbox: Sandbox) -> None:
    """(S15) Declared, or not."""
    usual = await sandbox.detail("two-instances")
    reply = await faulty_detail(sandbox, "latin1_json")
    assert reply.headers["content-type"] == "application/json;charset=ISO-8859-1"
    assert json.loads(reply.content.decode("iso-8859-1")) == [usual]
    with pytest.raises(UnicodeDecodeError):
        reply.content.decode()
    await sandbox.control("reset", {})
    reply = await faulty_detail(sandbox, "latin1_json", declared=False)
    assert reply.headers["content-type"] == "application/json"


async def test_detail_can_have_another_number(sandbox: Sandbox) -> None:
    await sandbox.fault("other_number", route="search")
    usual = await sandbox.detail("small")
    asked = {"numeroProcesso": usual["numeroProcesso"]}
    (hit,) = (await sandbox.get(PATH, params=asked)).json()["content"]
    assert hit["numeroProcesso"] != usual["numeroProcesso"]


async def test_change_over_time(sandbox: Sandbox) -> None:
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


async def test_file_can_be_replaced(sandbox: Sandbox) -> None:
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


async def test_burst(sandbox: Sandbox) -> None:
    path = await sandbox.path()
    await sandbox.control("burst", {"max_per_second": 5})
    replies = await asyncio.gather(*(sandbox.get(path) for _ in range(12)))
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [200] * 5 + [503] * 7
    await sandbox.control("burst", {"max_per_second": None})
    assert (await sandbox.get(path)).status_code == 200
