"""Listings in every shape the courts send (facts/pdpj-api.md §5, §8.7; failures F28, U5)."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autos.cnj import CaseNumber
from autos.contracts.states import Reason
from autos.source.listing import ListedProcess
from autos.source.parse import UnreadableListing, parse_process
from autos.source.values import LOCAL_TIME, moment

BASE = "https://portal.example"
NUMBER = CaseNumber.parse("9990001-21.2024.4.03.6100")
OTHER = CaseNumber.parse("9990002-86.2024.8.26.0100")


def identity(seed: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(seed)))


def document(seed: object, **fields: Any) -> dict[str, Any]:
    """A document with an address; a field of None is left out."""
    path = f"/processos/{NUMBER.masked}/documentos/{identity(seed)}"
    listed = {
        "sequencia": 1,
        "dataHoraJuntada": "2024-05-02T10:11:12.345",
        "idOrigem": str(seed),
        "nome": "Petição Inicial.pdf",
        "nivelSigilo": "PUBLICO",
        "tipo": {"codigo": 58, "nome": "Petição inicial"},
        "hrefBinario": f"{path}/binario",
        "hrefTexto": f"{path}/texto",
        "arquivo": {"tipo": "application/pdf", "tamanho": 50307},
    }
    return {key: value for key, value in (listed | fields).items() if value is not None}


def run(*documents: Any, grade: str = "G1", **fields: Any) -> dict[str, Any]:
    return {
        "grau": {"sigla": grade},
        "tribunal": {"sigla": "TRF3"},
        "documentos": list(documents),
    } | fields


def detail(**fields: Any) -> list[dict[str, Any]]:
    return [{"numeroProcesso": NUMBER.masked, "nivelSigilo": 0, "siglaTribunal": "TRF3"} | fields]


def parse(payload: object) -> ListedProcess:
    return parse_process(NUMBER, payload, BASE)


def test_a_document_with_all_its_fields() -> None:
    (listed,) = parse(detail(tramitacaoAtual=run(document("a")))).documents
    assert listed.source_id == identity("a")
    prefix = f"/api/v2/processos/{NUMBER.masked}/documentos/{identity('a')}"
    assert listed.addresses == (f"{prefix}/binario",)
    assert listed.refusal is None
    assert listed.origin_id == "a"
    assert (listed.instance, listed.sequence) == ("G1", 1)
    assert (listed.name, listed.kind, listed.kind_code) == (
        "Petição Inicial.pdf",
        "Petição inicial",
        58,
    )
    assert listed.secrecy == "PUBLICO"
    assert listed.filed_at == datetime(2024, 5, 2, 13, 11, 12, 345000, UTC)
    assert (listed.declared_type, listed.expected_size) == ("application/pdf", 50307)


@pytest.mark.parametrize(
    "payload",
    [
        detail(tramitacaoAtual=run(document("a"))),
        detail(tramitacaoAtual=run(document("a")))[0],
        {"content": detail(tramitacaoAtual=run(document("a")))},
        detail(documentos=[document("a")]),
        detail(tramitacoes=[run(document("a"))]),
        detail(dadosBasicos=run(document("a"))),
        detail(tramitacaoAtual=run(document("a")), documentos=[document("a")]),
        [*detail(tramitacaoAtual=run()), *detail(tramitacoes=[run(document("a"))])],
        detail(tramitacaoAtual=run() | {"documentos": document("a")}),
        detail(tramitacaoAtual=[run(document("a"))]),
        detail(tramitacaoAtual=None, tramitacoes=[None, run(document("a"))]),
        [{"tramitacaoAtual": run(document("a"))}],
    ],
)
def test_the_document_is_found_wherever_it_stands(payload: object) -> None:
    assert [listed.source_id for listed in parse(payload).documents] == [identity("a")]


def test_a_second_listing_is_the_same_document_and_a_fallback() -> None:
    first = run(document("copy", idOrigem="7", arquivo=None, sequencia=3))
    second = run(document("main", idOrigem="7", sequencia=3))
    (listed,) = parse(detail(tramitacaoAtual=first, tramitacoes=[second])).documents
    assert listed.source_id == identity("main")
    assert listed.alternate_ids == (identity("copy"),)
    assert [address.split("/")[-2] for address in listed.addresses] == [
        identity("main"),
        identity("copy"),
    ]
    assert listed.expected_size == 50307


def test_two_instances_are_never_mixed() -> None:
    payload = detail(
        tramitacaoAtual=run(document("a", idOrigem="7"), grade="G2"),
        tramitacoes=[run(document("b", idOrigem="7"), grade="G1")],
    )
    assert len(parse(payload).documents) == 2


def test_one_origin_id_twice_in_one_list_is_two_documents() -> None:
    twice = [document(seed, idOrigem="7", sequencia=n) for n, seed in enumerate("ab")]
    again = [document(seed, idOrigem="7", sequencia=n) for n, seed in ((1, "d"), (0, "c"))]
    listed = parse(detail(tramitacaoAtual=run(*twice), tramitacoes=[run(*again)])).documents
    assert {(one.source_id, one.alternate_ids) for one in listed} == {
        (identity("a"), (identity("c"),)),
        (identity("b"), (identity("d"),)),
    }


def test_one_id_listed_twice_is_one_document() -> None:
    payload = detail(tramitacaoAtual=run(document("a"), document("a", idOrigem=None)))
    assert len(parse(payload).documents) == 1


def test_a_copy_that_cannot_be_fetched_is_not_preferred() -> None:
    lost = run(document("lost", idOrigem="7", hrefBinario=None, hrefTexto=None))
    held = run(document("held", idOrigem="7", arquivo=None))
    (listed,) = parse(detail(tramitacaoAtual=lost, tramitacoes=[held])).documents
    assert listed.source_id == identity("held")
    assert listed.refusal is None


def test_text_stands_in_only_for_a_missing_binary_and_has_no_known_size() -> None:
    (listed,) = parse(detail(tramitacaoAtual=run(document("a", hrefBinario=None)))).documents
    assert listed.addresses[0].endswith("/texto")
    assert listed.expected_size is None


@pytest.mark.parametrize("junk", [None, "x", 5, [], {}, {"nome": "sem endereço"}, [[]]])
def test_junk_is_counted(junk: object) -> None:
    payload = detail(tramitacaoAtual=run(junk, document("a"), junk))
    documents = parse(payload).documents
    refused = [one for one in documents if one.refusal is Reason.NO_ADDRESS]
    assert len(documents) == 3
    assert len({one.source_id for one in refused}) == 2
    assert all(one.addresses == () for one in refused)


def test_made_up_ids_stay_when_the_list_grows() -> None:
    lost = document("lost", hrefBinario=None, hrefTexto=None)
    before = parse(detail(tramitacaoAtual=run(lost))).documents
    after = parse(detail(tramitacaoAtual=run(document("new"), lost))).documents
    assert before[0].source_id in {one.source_id for one in after}


def test_an_address_on_another_host_is_refused_at_once() -> None:
    foreign = document("a", hrefBinario="https://evil.example/x", hrefTexto=None)
    (listed,) = parse(detail(tramitacaoAtual=run(foreign))).documents
    assert (listed.refusal, listed.addresses) == (Reason.FOREIGN_HOST, ())


def test_oldest_first_and_stable() -> None:
    documents = [
        document("undated", dataHoraJuntada=None),
        document("late", dataHoraJuntada="2024-05-02T10:00:00.5"),
        document("second", dataHoraJuntada="2024-05-02T09:00:00", sequencia=2),
        document("first", dataHoraJuntada="2024-05-02T09:00:00", sequencia=1),
    ]
    expected = [identity(seed) for seed in ("first", "second", "late", "undated")]
    for order in (documents, documents[::-1]):
        listed = parse(detail(tramitacaoAtual=run(*order))).documents
        assert [one.source_id for one in listed] == expected


@pytest.mark.parametrize(
    "value",
    [
        {"codigo": 1, "descricao": "Apelação"},
        [{"descricao": "Apelação"}],
        "Apelação",
        ["Apelação"],
        {"nome": "Apelação"},
    ],
)
def test_class_subject_and_body_in_three_shapes(value: object) -> None:
    process = parse(detail(tramitacaoAtual=run(classe=value, assunto=value, orgaoJulgador=value)))
    assert process.class_name == "Apelação"
    assert process.subjects == ("Apelação",)
    assert process.judging_body == "Apelação"


@pytest.mark.parametrize("key", ["distribuicao", "distribuicoes"])
def test_the_judging_body_of_the_distribution(key: str) -> None:
    place: dict[str, Any] = {key: [{"orgaoJulgador": [{"id": -1, "nome": "1ª Vara"}]}]}
    assert parse(detail(tramitacaoAtual=run(**place))).judging_body == "1ª Vara"


@pytest.mark.parametrize(
    ("value", "level"),
    [(None, 0), (0, 0), (5, 5), ("3", 3), ("SEGREDO_JUSTICA", 1), ("ULTRA", 5), (99, 5), ({}, 5)],
)
def test_secrecy_of_a_process(value: object, level: int) -> None:
    assert parse(detail(nivelSigilo=value)).secrecy_level == level


@pytest.mark.parametrize(
    ("value", "name"),
    [("PUBLICO", "PUBLICO"), (0, "PUBLICO"), ("2", "SIGILO_MINIMO"), ("NOVO", "NOVO"), ([], None)],
)
def test_secrecy_of_a_document(value: object, name: str | None) -> None:
    (listed,) = parse(detail(tramitacaoAtual=run(document("a", nivelSigilo=value)))).documents
    assert listed.secrecy == name


@pytest.mark.parametrize(
    ("value", "microsecond"),
    [("", 0), (".6", 600_000), (".34", 340_000), (".341", 341_000)],
)
def test_moments_with_up_to_three_digits(value: str, microsecond: int) -> None:
    expected = datetime(2025, 1, 10, 12, 8, 52, microsecond, UTC)
    assert moment("2025-01-10T09:08:52" + value) == expected


def test_a_summer_of_daylight_saving() -> None:
    assert moment("2018-12-01T09:00:00") == datetime(2018, 12, 1, 11, tzinfo=UTC)


@given(
    st.datetimes(timezones=st.just(LOCAL_TIME)).filter(lambda at: 1990 < at.year < 2090),
    st.integers(0, 3),
)
def test_every_local_moment_survives(local: datetime, digits: int) -> None:
    step = 10 ** (6 - digits)
    at = local.replace(microsecond=local.microsecond // step * step, fold=0)
    fraction = f".{at.microsecond:06}"[: digits + 1] if digits else ""
    assert moment(f"{at:%Y-%m-%dT%H:%M:%S}{fraction}") == at.astimezone(UTC)


@given(st.text() | st.integers() | st.none() | st.floats())
def test_no_moment_raises(value: object) -> None:
    read = moment(value)
    assert read is None or read.tzinfo is UTC


def test_metadata_is_the_detail_without_the_documents() -> None:
    payload = [
        *detail(tramitacaoAtual=run(document("a"), classe="X"), nota="a\x00b\ud800"),
        *detail(tramitacoes=[run(document("b"), valorAcao=1.5)]),
    ]
    metadata = parse(payload).metadata
    assert metadata["tramitacaoAtual"]["classe"] == "X"
    assert metadata["tramitacoes"][0]["valorAcao"] == 1.5
    assert metadata["nota"] == "ab?"
    assert "documentos" not in json.dumps(metadata)


def test_items_of_other_processes_are_left_out() -> None:
    stranger = {"numeroProcesso": OTHER.masked, "tramitacaoAtual": run(document("b"))}
    process = parse([stranger, *detail(tramitacaoAtual=run(document("a")))])
    assert [one.source_id for one in process.documents] == [identity("a")]
    with pytest.raises(UnreadableListing):
        parse([stranger])


def test_an_address_of_another_process_is_not_used() -> None:
    href = f"/processos/{OTHER.masked}/documentos/{identity('b')}/binario"
    stray = document("a", hrefBinario=href, hrefTexto=None)
    (listed,) = parse(detail(tramitacaoAtual=run(stray))).documents
    assert listed.refusal is Reason.NO_ADDRESS


def test_a_process_without_documents() -> None:
    assert parse(detail(tramitacaoAtual=run())).documents == ()


KEYS = st.sampled_from(
    "numeroProcesso tramitacaoAtual tramitacoes dadosBasicos documentos content grau tribunal "
    "sigla idOrigem hrefBinario hrefTexto arquivo tamanho tipo nome nivelSigilo classe assunto "
    "dataHoraJuntada sequencia distribuicao orgaoJulgador".split()
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([NUMBER.masked, document("a")["hrefBinario"], "2024-05-02T10:11:12.3"])
)
JUNK = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=300)
@given(JUNK)
def test_junk_raises_nothing_but_the_typed_error(payload: object) -> None:
    try:
        process = parse(payload)
    except UnreadableListing:
        return
    json.dumps(process.metadata, allow_nan=False).encode()
    assert len({one.source_id for one in process.documents}) == len(process.documents)
    assert all((one.refusal is None) == bool(one.addresses) for one in process.documents)


def without_address(entry: object) -> bool:
    return not isinstance(entry, dict) or entry.keys().isdisjoint({"hrefBinario", "hrefTexto"})


@given(st.lists(JUNK.filter(without_address), max_size=6))
def test_whatever_is_listed_is_counted(entries: list[object]) -> None:
    process = parse(detail(tramitacaoAtual=run(*entries)))
    assert [one.refusal for one in process.documents] == [Reason.NO_ADDRESS] * len(entries)
