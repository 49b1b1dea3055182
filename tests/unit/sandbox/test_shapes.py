"""The shapes of the sandbox's data."""

import hashlib
import re
import uuid
from datetime import datetime
from typing import Any

from tests.unit.sandbox.driver import Sandbox


def listed(run: dict[str, Any]) -> list[dict[str, Any]]:
    documents = run["documentos"]
    assert isinstance(documents, list)
    return documents


async def test_one_listing(sandbox: Sandbox) -> None:
    assert "tramitacoes" not in await sandbox.detail("small")


async def test_two_instances(sandbox: Sandbox) -> None:
    item = await sandbox.detail("two-instances")
    second, (first,) = item["tramitacaoAtual"], item["tramitacoes"]
    assert (second["grau"]["sigla"], first["grau"]["sigla"]) == ("G2", "G1")
    assert len(listed(second)) + len(listed(first)) == 24
    case = await sandbox.case("two-instances")
    assert case["total"] == 24
    hashes: dict[bool, set[str]] = {True: set(), False: set()}
    for document in case["documents"]:
        hashes[document["instance"] == "G2"].add(document["sha256"])
    assert hashes[True] & hashes[False]
    # A copy has the same time as its original.
    times = {document["dataHoraJuntada"] for document in listed(first)}
    copies = [document for document in listed(second) if document["dataHoraJuntada"] in times]
    assert len(copies) == 4


async def test_listed_twice(sandbox: Sandbox) -> None:
    item = await sandbox.detail("listed-twice")
    current, (copy,) = item["tramitacaoAtual"], item["tramitacoes"]
    assert current["idFonteDadosCodex"] != copy["idFonteDadosCodex"]
    assert len(listed(current)) == 173
    for one, other in zip(listed(current), listed(copy), strict=True):
        assert (one["idOrigem"], one["sequencia"]) == (other["idOrigem"], other["sequencia"])
        assert one["hrefBinario"] != other["hrefBinario"]
        assert one["idCodex"] != other["idCodex"]
        assert "arquivo" not in other
    case = await sandbox.case("listed-twice")
    assert case["total"] == 173
    same = [
        await sandbox.get(f"/api/v2/processos/{case['number']}/documentos/{u}/binario")
        for u in case["documents"][0]["uuids"]
    ]
    assert same[0].content == same[1].content


async def test_distributions_and_judging_bodies(sandbox: Sandbox) -> None:
    item = await sandbox.detail("two-instances")
    assert "distribuicoes" not in item["tramitacaoAtual"]
    assert "distribuicao" not in item["tramitacoes"][0]
    (distribution,) = item["tramitacaoAtual"]["distribuicao"]
    assert distribution["orgaoJulgador"][0]["id"] == -1
    page = await sandbox.get("/api/v2/processos", params={"numeroProcesso": item["numeroProcesso"]})
    assert isinstance(page.json()["content"][0]["tramitacoes"][0]["orgaoJulgador"], dict)


async def test_documents_of_the_demo(sandbox: Sandbox) -> None:
    item = await sandbox.detail("demo")
    documents = listed(item["tramitacaoAtual"])
    assert len(documents) == 43
    assert isinstance(item["nivelSigilo"], int)
    assert {document["nivelSigilo"] for document in documents} == {"PUBLICO"}
    assert any("arquivo" not in document for document in documents)
    assert any("codigo" not in document["tipo"] for document in documents)
    files = [document["arquivo"] for document in documents if "arquivo" in document]
    assert {file["quantidadePaginas"] for file in files} == {0}
    sequences = [document["sequencia"] for document in documents]
    assert sequences == sorted(set(sequences), reverse=True)
    assert sequences[0] > len(sequences)
    names = [document["nome"] for document in documents]
    assert names.count("Intimação.html") == 3
    for wanted in (r"/", r"  \.pdf$", r".{300}", r"^[^.]+$", r"ç.*ã", r"^Planilha\.html$"):
        assert any(re.search(wanted, name) for name in names), wanted


async def test_demo_has_41_of_43_documents_available(sandbox: Sandbox) -> None:
    case = await sandbox.case("demo")
    assert (case["total"], case["available"]) == (43, 41)
    assert case["size"] < 20_000_000
    statuses = []
    for document in case["documents"]:
        reply = await sandbox.get(
            f"/api/v2/processos/{case['number']}/documentos/{document['uuid']}/binario"
        )
        statuses.append(reply.status_code)
        if reply.status_code == 200:
            assert hashlib.sha256(reply.content).hexdigest() == document["sha256"]
    assert sorted(statuses) == [200] * 41 + [403, 500]


async def test_odd_addresses(sandbox: Sandbox) -> None:
    documents = listed((await sandbox.detail("odd-addresses"))["tramitacaoAtual"])
    uuid_only, foreign, none, text_only, prefixed, absolute, relative = documents
    assert relative["hrefBinario"].startswith("/processos/")
    assert absolute["hrefBinario"].startswith(f"{sandbox.url}/api/v2/processos/")
    assert prefixed["hrefBinario"].startswith("/api/v2/processos/")
    assert "hrefBinario" not in text_only
    assert "hrefTexto" in text_only
    assert not {"hrefBinario", "hrefTexto"} & set(none)
    assert foreign["hrefBinario"].startswith("https://arquivos.exemplo.invalid/")
    assert not {"hrefBinario", "hrefTexto"} & set(uuid_only)
    case = await sandbox.case("odd-addresses")
    path = f"/api/v2/processos/{case['masked']}/documentos/{uuid_only['id']}/binario"
    assert (await sandbox.get(path)).status_code == 200


async def test_odd_shapes(sandbox: Sandbox) -> None:
    odd = (await sandbox.detail("odd-shapes"))["tramitacaoAtual"]
    usual = (await sandbox.detail("small"))["tramitacaoAtual"]

    def registration(run: dict[str, Any]) -> object:
        return run["partes"][0]["representantes"][0]["cadastroReceitaFederal"][0]["numero"]

    assert registration(odd) == 191
    assert registration(usual) == "00000000191"
    assert len(odd["partes"][0]["outrosNomes"]) == 240
    assert isinstance(odd["classe"], dict)
    assert isinstance(odd["assunto"], str)
    assert isinstance(usual["classe"], list)
    assert "chaveDesconhecida" in odd


async def test_secret_party_and_local_judging_body(sandbox: Sandbox) -> None:
    odd = (await sandbox.detail("odd-shapes"))["tramitacaoAtual"]
    assert [party["sigilosa"] for party in odd["partes"]] == [True, False]
    (distribution,) = odd["distribuicao"]
    assert "orgaoJulgador" not in distribution
    assert distribution["orgaoJulgadorLocal"]["nome"]


async def test_many_instances(sandbox: Sandbox) -> None:
    """(S15) Five instances, the special court's and the superior one's among them."""
    item = await sandbox.detail("many-instances")
    runs = [item["tramitacaoAtual"], *item["tramitacoes"]]
    assert [run["grau"]["sigla"] for run in runs] == ["GS", "JE", "TR", "G1", "G2"]
    assert [len(listed(run)) for run in runs] == [4] * 5


async def test_sources_name_the_instance_differently(sandbox: Sandbox) -> None:
    """(S15) One gives `grau`, the other `instancia`."""
    item = await sandbox.detail("listed-otherwise")
    current, (copy,) = item["tramitacaoAtual"], item["tramitacoes"]
    assert ("grau" in current, "instancia" in current) == (True, False)
    assert ("grau" in copy, "instancia" in copy) == (False, True)
    assert (await sandbox.case("listed-otherwise"))["total"] == 12


async def test_every_level_of_secrecy(sandbox: Sandbox) -> None:
    documents = listed((await sandbox.detail("secrecies"))["tramitacaoAtual"])
    levels = {document["nivelSigilo"]: document["hrefBinario"] for document in documents}
    assert len(levels) == 8
    for level, href in levels.items():
        reply = await sandbox.get(f"/api/v2{href}")
        open_ones = ("PUBLICO", "SEGREDO_JUSTICA", "0")
        assert reply.status_code == (200 if level in open_ones else 403)


async def test_media_and_suspicious_words_are_served_as_they_are(sandbox: Sandbox) -> None:
    for name, total in (("media", 6), ("suspicious-words", 7)):
        case = await sandbox.case(name)
        assert (case["total"], case["available"]) == (total, total)
        for index, document in enumerate(case["documents"]):
            reply = await sandbox.binary(name, index)
            assert hashlib.sha256(reply.content).hexdigest() == document["sha256"]
            assert reply.headers["content-type"] == document["mime"]


async def test_wrong_listed_size_with_equal_bytes(sandbox: Sandbox) -> None:
    documents = listed((await sandbox.detail("wrong-sizes"))["tramitacaoAtual"])
    for index, document in enumerate(documents):
        one, other = [await sandbox.binary("wrong-sizes", index) for _ in range(2)]
        assert one.content == other.content
        assert len(one.content) == document["arquivo"]["tamanho"] - 7


async def test_text_only(sandbox: Sandbox) -> None:
    """(S12) The source lists a text and no file."""
    case = await sandbox.case("text-only")
    for document in listed((await sandbox.detail("text-only"))["tramitacaoAtual"]):
        assert "hrefBinario" not in document
        text = (await sandbox.get(f"/api/v2{document['hrefTexto']}")).content
        assert hashlib.sha256(text).hexdigest() in {d["text_sha256"] for d in case["documents"]}


async def test_case_whose_downloads_are_all_refused(sandbox: Sandbox) -> None:
    assert len(listed((await sandbox.detail("refused"))["tramitacaoAtual"])) == 50
    reply = await sandbox.binary("refused", 49)
    assert (reply.status_code, reply.content) == (401, b"")
    assert (await sandbox.binary("small")).status_code == 200


async def test_times_have_no_zone(sandbox: Sandbox) -> None:
    documents = listed((await sandbox.detail("demo"))["tramitacaoAtual"])
    times = [document["dataHoraJuntada"] for document in documents]
    fractions = {len(time.partition(".")[2]) for time in times}
    assert fractions == {0, 1, 2, 3}
    assert all(datetime.fromisoformat(time).tzinfo is None for time in times)
    documents = listed((await sandbox.detail("listed-twice"))["tramitacaoAtual"])
    assert not any("." in document["dataHoraJuntada"] for document in documents)


async def test_uuids_are_version_5_and_stable(sandbox: Sandbox) -> None:
    first, again = [await sandbox.detail("demo") for _ in range(2)]
    assert first == again
    case = await sandbox.case("demo")
    uuids = [uuid.UUID(document["uuid"]) for document in case["documents"]]
    assert {found.version for found in uuids} == {5}
    assert len(set(uuids)) == 43


async def test_equal_content_under_several_documents(sandbox: Sandbox) -> None:
    documents = (await sandbox.case("demo"))["documents"]
    names = ("Decisão.html", "Intimação.html")
    order = [document for document in documents if document["name"] in names]
    assert len(order) == len({document["uuid"] for document in order}) == 4
    assert len({document["sha256"] for document in order}) == 1


async def test_sizes(sandbox: Sandbox) -> None:
    sizes = [document["size"] for document in (await sandbox.case("demo"))["documents"]]
    assert {21, 127, 122_912, 2_529_587} <= set(sizes)
    totals = {
        name: (await sandbox.case(name))["total"]
        for name in ("empty", "small", "thirty", "listed-twice", "thousand")
    }
    assert totals == {
        "empty": 0, "small": 7, "thirty": 30, "listed-twice": 173, "thousand": 1000,
    }  # fmt: skip
    biggest = (await sandbox.case("thirty"))["documents"][-1]
    reply = await sandbox.binary("thirty", -1)
    assert len(reply.content) == biggest["size"] > 30_000_000
    assert hashlib.sha256(reply.content).hexdigest() == biggest["sha256"]
    assert listed((await sandbox.detail("empty"))["tramitacaoAtual"]) == []


async def test_ten_thousand_documents(sandbox: Sandbox) -> None:
    documents = listed((await sandbox.detail("ten-thousand"))["tramitacaoAtual"])
    assert len({document["hrefBinario"] for document in documents}) == 10_000


async def test_unknown_number(sandbox: Sandbox) -> None:
    number = "9990778-06.2024.4.03.6100"
    path, search = f"/api/v2/processos/{number}", {"numeroProcesso": number}
    for reply in (await sandbox.get(path), await sandbox.get("/api/v2/processos", params=search)):
        assert reply.status_code == 404
        assert reply.json()["message"] == "Não foram encontrados registros"
    await sandbox.control("switches", {"unknown": "empty"})
    assert (await sandbox.get(path)).json() == []
    found = await sandbox.get("/api/v2/processos", params=search)
    assert found.json() == {"content": []}
