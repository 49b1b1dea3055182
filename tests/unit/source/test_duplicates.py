"""Listings of the same document are merged, and every document is counted (F28, U5, S14)."""

from typing import Any

import pytest

from autos.contracts.reasons import Reason
from tests.unit.source.listings import NUMBER, detail, document, identity, parse, run


def test_second_listing_is_merged_as_a_fallback_address() -> None:
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


def test_documents_of_two_instances_are_never_merged() -> None:
    payload = detail(
        tramitacaoAtual=run(document("a", idOrigem="7"), grade="G2"),
        tramitacoes=[run(document("b", idOrigem="7"), grade="G1")],
    )
    assert len(parse(payload).documents) == 2


def test_origin_id_twice_in_one_list_is_two_documents() -> None:
    twice = [document(seed, idOrigem="7", sequencia=n) for n, seed in enumerate("ab")]
    again = [document(seed, idOrigem="7", sequencia=n) for n, seed in ((1, "d"), (0, "c"))]
    listed = parse(detail(tramitacaoAtual=run(*twice), tramitacoes=[run(*again)])).documents
    assert {(one.source_id, one.alternate_ids) for one in listed} == {
        (identity("a"), (identity("c"),)),
        (identity("b"), (identity("d"),)),
    }


def test_id_listed_twice_is_one_document() -> None:
    payload = detail(tramitacaoAtual=run(document("a"), document("a", idOrigem=None)))
    assert len(parse(payload).documents) == 1


def test_copy_without_a_valid_address_is_not_preferred() -> None:
    lost = run(document("lost", idOrigem="7", hrefBinario=None, hrefTexto=None))
    held = run(document("held", idOrigem="7", arquivo=None))
    (listed,) = parse(detail(tramitacaoAtual=lost, tramitacoes=[held])).documents
    assert listed.source_id == identity("held")
    assert listed.refusal is None


@pytest.mark.parametrize("nothing", [{}, [{}]])
def test_copy_with_empty_file_details_is_not_preferred(nothing: object) -> None:
    bare = run(document("bare", idOrigem="7", arquivo=nothing))
    main = run(document("main", idOrigem="7"))
    (listed,) = parse(detail(tramitacaoAtual=bare, tramitacoes=[main])).documents
    assert listed.source_id == identity("main")
    assert listed.expected_size == 50307


def test_text_replaces_only_a_missing_file_and_has_no_size() -> None:
    (listed,) = parse(detail(tramitacaoAtual=run(document("a", hrefBinario=None)))).documents
    assert listed.addresses[0].endswith("/texto")
    assert listed.expected_size is None


@pytest.mark.parametrize("junk", [None, "x", 5, [], {}, {"nome": "sem endereço"}, [[]]])
def test_invalid_entry_is_counted(junk: object) -> None:
    payload = detail(tramitacaoAtual=run(junk, document("a"), junk))
    documents = parse(payload).documents
    refused = [one for one in documents if one.refusal is Reason.NO_ADDRESS]
    assert len(documents) == 3
    assert len({one.source_id for one in refused}) == 2
    assert all(one.addresses == () for one in refused)


def test_document_without_an_href_is_requested_by_its_id() -> None:
    """(S14) By a UUID, not by the number of a court's system."""
    lost = document("a", hrefBinario=None, hrefTexto=None, id=identity("a").upper())
    (listed,) = parse(detail(tramitacaoAtual=run(lost))).documents
    path = f"/api/v2/processos/{NUMBER.masked}/documentos/{identity('a')}/binario"
    assert (listed.addresses, listed.refusal) == ((path,), None)
    assert (listed.source_id, listed.expected_size) == (identity("a"), 50307)
    number = document("a", hrefBinario=None, hrefTexto=None, id="10000000012")
    (listed,) = parse(detail(tramitacaoAtual=run(number))).documents
    assert listed.refusal is Reason.NO_ADDRESS


def test_id_replaces_an_href_on_another_host() -> None:
    """(S14) An address on another host is never requested."""
    foreign = document("a", hrefBinario="https://x.example/y", hrefTexto=None, id=identity("a"))
    (listed,) = parse(detail(tramitacaoAtual=run(foreign))).documents
    assert [address.split("/")[-2] for address in listed.addresses] == [identity("a")]


@pytest.mark.parametrize(
    "other",
    [
        {"instancia": "PRIMEIRO_GRAU"},
        {"instancia": "1ª Instância"},
        {"grau": "1"},
        {"grau": 1},
        {"grau": "1º Grau"},
        {"grau": "G1"},
        {"grau": {"numero": 1, "nome": "1º Grau"}},
        {"grau": [{"sigla": "g1"}]},
    ],
)
def test_instance_named_differently_is_the_same(other: dict[str, Any]) -> None:
    """(S15) One source has `grau`, the other `instancia`; the documents are merged."""
    copy = document("copy", idOrigem="7", arquivo=None)
    second = {"tribunal": {"sigla": "TRF3"}, "documentos": [copy], **other}
    payload = detail(tramitacaoAtual=run(document("main", idOrigem="7")), tramitacoes=[second])
    (listed,) = parse(payload).documents
    assert listed.alternate_ids == (identity("copy"),)
    assert listed.instance == "G1"


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ({"grau": {"sigla": "JE", "numero": 1}}, {"instancia": "PRIMEIRO_GRAU"}, 1),
        ({"grau": {"sigla": "TR"}}, {"instancia": "SEGUNDO_GRAU"}, 1),
        ({"grau": {"sigla": "XX", "numero": 2}}, {"grau": "2"}, 1),
        ({"grau": {"sigla": "JE"}}, {"grau": {"sigla": "TR"}}, 2),
        ({"grau": {"sigla": "G1"}}, {"instancia": "SEGUNDO_GRAU"}, 2),
        ({"grau": {"sigla": "G1"}}, {"instancia": "INCONSISTENTE"}, 2),
        ({"grau": {"sigla": "XX"}}, {"grau": {"sigla": "YY"}}, 2),
    ],
)
def test_contradicting_instances_are_not_merged(
    one: dict[str, Any], other: dict[str, Any], count: int
) -> None:
    """(S15) Missing values do not contradict."""
    places = [
        {"documentos": [document(seed, idOrigem="7")], **instance}
        for seed, instance in (("a", one), ("b", other))
    ]
    assert len(parse(detail(tramitacoes=places)).documents) == count


def test_generated_ids_are_stable_when_the_list_grows() -> None:
    lost = document("lost", hrefBinario=None, hrefTexto=None)
    before = parse(detail(tramitacaoAtual=run(lost))).documents
    after = parse(detail(tramitacaoAtual=run(document("new"), lost))).documents
    assert before[0].source_id in {one.source_id for one in after}


def test_address_on_another_host_is_refused_at_once() -> None:
    foreign = document("a", hrefBinario="https://evil.example/x", hrefTexto=None)
    (listed,) = parse(detail(tramitacaoAtual=run(foreign))).documents
    assert (listed.refusal, listed.addresses) == (Reason.FOREIGN_HOST, ())


def test_source_order_is_kept() -> None:
    """(S15) The present instance first, and the newest document first."""
    copy = document("copy", idOrigem="late", arquivo=None)
    payload = detail(
        tramitacoes=[run(document("old"), grade="G1"), run(copy, document("extra"), grade="G2")],
        tramitacaoAtual=run(
            document("late"), document("undated", dataHoraJuntada=None), "junk", grade="G2"
        ),
    )
    listed = parse(payload).documents
    expected = ("late", "undated", None, "old", "extra")
    assert [one.source_order for one in listed] == list(range(len(expected)))
    for one, seed in zip(listed, expected, strict=True):
        assert seed is None or one.source_id == identity(seed)
