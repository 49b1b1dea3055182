"""Movements of details and searches, without duplicates and with their documents."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from autos.cnj import CaseNumber
from autos.source import ListedMovement
from autos.source.listing.duplicates import merge_movements
from autos.source.listing.parse import parse_movements, parse_process
from tests.unit.source.clients import client_of
from tests.unit.source.server import by_path, reply, running

NUMBER: Final = CaseNumber.parse("9990001-21.2024.4.03.6100")
OTHER: Final = CaseNumber.parse("9990002-86.2024.8.26.0100")
DOCUMENT: Final = str(uuid.uuid5(uuid.NAMESPACE_OID, "a"))
AT: Final = datetime(2024, 5, 2, 13, 11, 12, tzinfo=UTC)


def movement(text: str, second: int = 12, **fields: Any) -> dict[str, Any]:
    return {"dataHora": f"2024-05-02T10:11:{second:02}", "descricao": text} | fields


def case(*runs: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"numeroProcesso": NUMBER.masked, "tramitacoes": list(runs)}]


def run(*movements: object, grade: str | None = "G1") -> dict[str, Any]:
    return {"grau": {"sigla": grade} if grade else None, "movimentos": list(movements)}


def texts(movements: tuple[ListedMovement, ...]) -> list[str | None]:
    return [one.text for one in movements]


def test_movement_is_read_with_all_fields() -> None:
    """(S15) A search has the type, the instance and the document."""
    tipo = {"codigo": 581, "nome": "Documento", "descricao": "Juntada de #{tipo_de_documento}"}
    raw = movement("Juntada", sequencia=7, idDocumento=DOCUMENT.upper(), tipo=tipo)
    assert parse_movements(NUMBER, {"content": case(run(raw))}) == (
        ListedMovement(AT, "Juntada", "Documento", 581, DOCUMENT, "G1", 7),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (None, None, None)),
        ({"tipo": {"id": 22, "nome": "Baixa"}}, ("Baixa", 22, None)),
        ({"tipo": "Baixa"}, ("Baixa", None, None)),
        ({"codigo": 22}, (None, 22, None)),
        ({"tipo": None, "idDocumento": None}, (None, None, None)),
        ({"idDocumento": "140000001"}, (None, None, None)),
        ({"idDocumento": [DOCUMENT], "tipo": [[]]}, (None, None, None)),
    ],
)
def test_types_and_documents_are_read_in_every_shape(
    fields: dict[str, Any], expected: tuple[object, ...]
) -> None:
    """(S14) The portal's and the data lake's movements differ in keys."""
    (read,) = parse_movements(NUMBER, case(run(movement("x", **fields))))
    assert (read.kind, read.kind_code, read.document_id) == expected


def test_search_completes_the_details_movements() -> None:
    """(S15) The detail has times and texts, the search has documents; equal ones are merged."""
    detail = case(run(movement("Juntada", 9), movement("Juntada"), movement("Juntada")))
    search = {
        "content": case(
            run(
                movement("Juntada", sequencia=2, idDocumento=DOCUMENT),
                movement("Juntada", sequencia=1),
                movement("Distribuído", 1),
                grade=None,
            )
        )
    }
    listed = parse_process(NUMBER, detail, "https://x.example").movements
    movements = merge_movements([listed, parse_movements(NUMBER, search)])
    assert texts(movements) == ["Juntada", "Juntada", "Juntada", "Distribuído"]
    assert [one.document_id for one in movements] == [DOCUMENT, None, None, None]
    assert [one.sequence for one in movements] == [2, 1, None, None]
    assert [one.instance for one in movements] == ["G1", "G1", "G1", None]


def test_movement_of_two_sources_is_merged_but_not_of_two_instances() -> None:
    """(S15) Equal movements in one list are kept."""
    twice = [movement("Expedição"), movement("Expedição")]
    first, again = run(*twice), run(*twice) | {"grau": None, "instancia": "PRIMEIRO_GRAU"}
    assert len(parse_movements(NUMBER, case(first, again))) == 2
    assert len(parse_movements(NUMBER, case(first, run(*twice, grade="G2")))) == 4


def test_source_order_is_kept() -> None:
    """(S15) The present instance comes first, and in each the newest movement."""
    present = run(movement("d", 8), movement("undated", dataHora=None), grade="G2")
    earlier = run(movement("b", 5), movement("a", 4))
    listed = case(present, earlier, run(movement("c", 7), grade="G2"))
    assert texts(parse_movements(NUMBER, listed)) == ["d", "c", "undated", "b", "a"]


@pytest.mark.parametrize(
    "payload", [None, [], {}, "x", case(), case(run()), case({"movimentos": None}), [[[]]]]
)
def test_listing_without_movements_has_none(payload: object) -> None:
    assert parse_movements(NUMBER, payload) == ()


def test_invalid_movements_and_other_processes_are_ignored() -> None:
    stranger = {"numeroProcesso": OTHER.masked, "movimentos": [movement("x")]}
    listed = [stranger, *case(run({}, None, [], 5, "Conclusos", {"dataHora": "x"}))]
    assert texts(parse_movements(NUMBER, listed)) == ["5", "Conclusos"]


def test_movements_nested_too_deep_are_ignored() -> None:
    """(S5) An unreadable search does not affect the detail."""
    deep = json.loads("[" * 300 + "]" * 300)
    assert parse_movements(NUMBER, [*case(run(movement("x"))), deep]) == ()


@pytest.mark.parametrize(
    ("search", "document"),
    [
        (
            reply(
                200,
                json.dumps({"content": case(run(movement("x", idDocumento=DOCUMENT)))}).encode(),
            ),
            True,
        ),
        (reply(200, b'{"content":[]}'), False),
        (reply(503), False),
    ],
)
async def test_documents_of_movements_come_from_a_search(search: bytes, document: bool) -> None:
    """(S15) If the search fails, the detail is used alone."""
    detail = reply(200, json.dumps(case(run(movement("x")))).encode())
    async with running(by_path(detail, search)) as server, client_of(server) as client:
        (read,) = (await client.process(NUMBER)).movements
    assert read.text == "x"
    assert read.document_id == (DOCUMENT if document else None)
    assert len(server.requests) == 2
