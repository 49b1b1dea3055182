"""Listings in every shape that courts return (F28, U5, S5, S14, S15)."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autos.contracts.reasons import Reason
from autos.source.listing.parse import UnreadableListing
from autos.source.listing.values import LOCAL_TIME, moment
from tests.unit.source.listings import NUMBER, OTHER, detail, document, identity, parse, run


def test_document_is_read_with_all_fields() -> None:
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
    assert listed.text_length == 8120


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
def test_document_is_found_in_every_shape(payload: object) -> None:
    assert [listed.source_id for listed in parse(payload).documents] == [identity("a")]


def test_detail_of_the_data_lake_is_read() -> None:
    """(S14) Ids in place of hrefs, enumeration names for types, instances in words, nulls."""
    piece = {
        "sequencia": 10,
        "dataHoraJuntada": "2024-12-13T14:54:51.811",
        "id": identity("a"),
        "idCodex": 5960000001,
        "idOrigem": "140000001",
        "nome": "Sentença",
        "nivelSigilo": "PUBLICO",
        "tipo": {"codigo": 1, "nome": "Sentença", "idCodex": 2, "idOrigem": "150"},
        "arquivo": {"id": identity("file"), "tipo": "TEXT_HTML", "tamanho": 20703},
        "signatarios": [{"nome": "X"}],
    }
    instance = {
        "instancia": "PRIMEIRO_GRAU",
        "tribunal": {"sigla": "TRF3", "jtr": "403"},
        "numeroHistorico": None,
        "documentos": [piece],
        "movimentos": [{"sequencia": 1, "tipo": {"id": 22, "nome": "Baixa"}, "idDocumento": None}],
        "classe": [{"codigo": 7, "descricao": "Procedimento", "historico": []}],
    }
    payload = detail(id="99900012120244036100", versao="1.0.9", tramitacoes=[instance])
    process = parse(payload)
    (listed,) = process.documents
    assert listed.addresses == (
        f"/api/v2/processos/{NUMBER.masked}/documentos/{identity('a')}/binario",
    )
    assert (listed.instance, listed.declared_type, listed.expected_size) == (
        *("G1", "text/html"),
        20703,
    )
    assert process.class_name == "Procedimento"
    listing = detail(id="99900012120244036100", documentos=[piece])[0]
    assert [one.source_id for one in parse(listing).documents] == [identity("a")]


@pytest.mark.parametrize(
    "place",
    [
        {"processo": {"dados": {"documentos": [document("a")]}}},
        {"tramitacoes": [[run(document("a"))]]},
        {"tramitacaoAtual": {"movimentos": [{"documentos": [document("a")]}]}},
        {"tramitacaoAtual": {"documentos": {"content": [document("a")]}}},
        {"tramitacaoAtual": {"documentos": {"documentos": [document("a")]}}},
        {"documentos": [document("a", documentos=[document("a")])]},
        {"tramitacaoAtual": {"documentos": [identity("a")]}},
    ],
)
def test_documents_are_found_at_any_depth(place: dict[str, Any]) -> None:
    """(S15) Lists of documents at unknown places are read, too."""
    (listed,) = parse(detail(**place)).documents
    assert listed.source_id == identity("a")
    assert listed.refusal is None


@pytest.mark.parametrize(
    "place",
    [
        {"partes": [{"documentos": [{"numero": "1", "tipo": "CPF"}]}]},
        {"processosRelacionados": [{"documentos": [document("b")]}]},
        {"apensos": [{"numeroProcesso": OTHER.masked, "documentos": [document("b")]}]},
        {"totais": {"documentos": 12}},
    ],
)
def test_documents_of_parties_and_other_processes_are_ignored(place: dict[str, Any]) -> None:
    """(S15) Identity papers, documents of other processes, and counts."""
    assert parse(detail(tramitacaoAtual=run() | place)).documents == ()


def test_case_number_as_an_integer_is_read() -> None:
    payload = {"numeroProcesso": int(NUMBER.digits), "documentos": [document("a")]}
    assert len(parse(payload).documents) == 1


@pytest.mark.parametrize("levels", [101, 600, 900])
def test_listing_nested_too_deep_is_unreadable(levels: int) -> None:
    """(S5) It can be decoded, but not traversed or stored."""
    deep: object = "x"
    for _ in range(levels):
        deep = [deep]
    with pytest.raises(UnreadableListing):
        parse(detail(tramitacaoAtual=run(document("a")), nota=deep))


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
def test_class_subject_and_judging_body_are_read_in_three_shapes(value: object) -> None:
    process = parse(detail(tramitacaoAtual=run(classe=value, assunto=value, orgaoJulgador=value)))
    assert process.class_name == "Apelação"
    assert process.subjects == ("Apelação",)
    assert process.judging_body == "Apelação"


@pytest.mark.parametrize("key", ["distribuicao", "distribuicoes"])
def test_judging_body_is_read_from_the_distribution(key: str) -> None:
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
def test_times_with_up_to_three_fraction_digits_are_read(value: str, microsecond: int) -> None:
    expected = datetime(2025, 1, 10, 12, 8, 52, microsecond, UTC)
    assert moment("2025-01-10T09:08:52" + value) == expected


def test_time_in_daylight_saving_is_converted() -> None:
    assert moment("2018-12-01T09:00:00") == datetime(2018, 12, 1, 11, tzinfo=UTC)


@given(
    st.datetimes(timezones=st.just(LOCAL_TIME)).filter(lambda at: 1990 < at.year < 2090),
    st.integers(0, 3),
)
def test_every_local_time_is_read(local: datetime, digits: int) -> None:
    step = 10 ** (6 - digits)
    at = local.replace(microsecond=local.microsecond // step * step, fold=0)
    fraction = f".{at.microsecond:06}"[: digits + 1] if digits else ""
    assert moment(f"{at:%Y-%m-%dT%H:%M:%S}{fraction}") == at.astimezone(UTC)


@given(st.text() | st.integers() | st.none() | st.floats())
def test_invalid_times_are_ignored(value: object) -> None:
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


def test_items_of_other_processes_are_ignored() -> None:
    stranger = {"numeroProcesso": OTHER.masked, "tramitacaoAtual": run(document("b"))}
    process = parse([stranger, *detail(tramitacaoAtual=run(document("a")))])
    assert [one.source_id for one in process.documents] == [identity("a")]
    with pytest.raises(UnreadableListing):
        parse([stranger])


def test_address_of_another_process_is_not_used() -> None:
    href = f"/processos/{OTHER.masked}/documentos/{identity('b')}/binario"
    stray = document("a", hrefBinario=href, hrefTexto=None)
    (listed,) = parse(detail(tramitacaoAtual=run(stray))).documents
    assert listed.refusal is Reason.NO_ADDRESS


def test_process_without_documents_is_read() -> None:
    assert parse(detail(tramitacaoAtual=run())).documents == ()


KEYS = st.sampled_from(
    "numeroProcesso tramitacaoAtual tramitacoes dadosBasicos documentos content grau tribunal "
    "sigla idOrigem hrefBinario hrefTexto arquivo tamanho tipo nome nivelSigilo classe assunto "
    "dataHoraJuntada sequencia distribuicao orgaoJulgador id instancia movimentos idDocumento "
    "dataHora descricao partes".split()
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([NUMBER.masked, document("a")["hrefBinario"], "2024-05-02T10:11:12.3"])
    | st.sampled_from([identity("a"), "G1", "PRIMEIRO_GRAU", "\ud800", "a\x00", 10**30, -1])
)
JUNK = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=300)
@given(JUNK)
def test_invalid_listing_raises_only_the_typed_error(payload: object) -> None:
    """(S5) A listing is read or reported as unreadable."""
    try:
        process = parse(payload)
    except UnreadableListing:
        return
    json.dumps(process.metadata, allow_nan=False).encode()
    assert len({one.source_id for one in process.documents}) == len(process.documents)
    assert all((one.refusal is None) == bool(one.addresses) for one in process.documents)
    assert [one.source_order for one in process.documents] == list(range(len(process.documents)))
    texts = [
        *(one.name or "" for one in process.documents),
        *(m.text or "" for m in process.movements),
    ]
    assert "\x00" not in "".join(texts).encode().decode()


def is_one_without_address(entry: object) -> bool:
    """True for an entry without an address and without nested entries."""
    if not isinstance(entry, dict):
        return entry != identity("a") and "documentos" not in repr(entry)
    known = {"hrefBinario", "hrefTexto", "id"}
    return entry.keys().isdisjoint(known) and "documentos" not in repr(entry)


@given(st.lists(JUNK.filter(is_one_without_address), max_size=6))
def test_every_listed_entry_is_counted(entries: list[object]) -> None:
    process = parse(detail(tramitacaoAtual=run(*entries)))
    assert [one.refusal for one in process.documents] == [Reason.NO_ADDRESS] * len(entries)
