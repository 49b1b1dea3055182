"""The JSON of a search (docs/source.md#searches). A page always has 100 cases.

Like the source, a search ignores unknown filters. A search without a known filter finds all cases.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from sandbox.cases.detail import (
    PORTFOLIO_CPF,
    PORTFOLIO_OAB,
    classes,
    grade,
    movements,
    parties,
    subjects,
    tribunal,
)
from sandbox.cases.models import Case, Listing, timestamp
from sandbox.faults import FaultName

PAGE_ITEMS: Final = 100
MAX_MOVEMENTS: Final = 500
"""The number of movements of an instance that an item contains."""


class NoSuchPage(ValueError):
    """`searchAfter` is malformed, or there is no page after it (404)."""


def read_offset(cases: list[Case], search_after: str | None) -> int:
    """The offset of the page after `searchAfter`, which is `milliseconds,digits`.

    Raises:
        NoSuchPage: it is malformed, or its case is not in this search.
    """
    if search_after is None:
        return 0
    milliseconds, comma, digits = search_after.partition(",")
    if not (comma and milliseconds.isdigit()):
        raise NoSuchPage
    for i, case in enumerate(cases):
        if case.number.digits == digits:
            return i + 1
    raise NoSuchPage


def page(cases: list[Case], offset: int, faults: Collection[FaultName]) -> dict[str, object]:
    """The page that starts at the offset.

    Raises:
        NoSuchPage: there are no more cases, and no fault selects another response.
    """
    found = cases[offset : offset + PAGE_ITEMS]
    if not found:
        if FaultName.SEARCH_END_NULL in faults:
            return {"total": len(cases), "numberOfElements": 0, "content": None}
        if FaultName.SEARCH_END_EMPTY in faults:
            return {"total": len(cases), "numberOfElements": 0, "content": []}
        raise NoSuchPage
    split = FaultName.SEARCH_SPLIT_ITEM in faults
    content = [item for case in found for item in _items(case, split)]
    result: dict[str, object] = {
        "total": len(cases),
        "numberOfElements": len(content),
        "maxElementsSize": 1 if len(cases) == 1 else PAGE_ITEMS,
    }
    if len(cases) > 1:
        # Also on the last page.
        result["searchAfter"] = [_milliseconds(found[-1]), found[-1].number.digits]
    return result | {"content": content}


def matching(cases: Mapping[str, Case], filters: Mapping[str, str]) -> list[Case]:
    """The cases that a search finds, in a stable order.

    Args:
        cases: all cases, by the digits of their numbers.
        filters: the query parameters.
    """
    if number := filters.get("numeroProcesso"):
        digits = _digits(number)
        found = [cases[digits]] if digits in cases else []
    else:
        found = [cases[digits] for digits in sorted(cases)]
        found = [case for case in found if case.accessible]
    known = [(_FILTERS[name], value) for name, value in filters.items() if name in _FILTERS]
    return [case for case in found if all(matches(case, value) for matches, value in known)]


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _names(case: Case, *, other: bool) -> Iterator[str]:
    for party in parties(case):
        if not other:
            yield str(party["nome"]).casefold()
        elif isinstance(others := party.get("outrosNomes"), list):
            yield from (str(each["nome"]).casefold() for each in others)


def _is_named(case: Case, value: str, *, other: bool) -> bool:
    return any(value.casefold() in name for name in _names(case, other=other))


_FILTERS: Final[dict[str, Callable[[Case, str], bool]]] = {
    "cpfCnpjParte": lambda case, value: case.in_portfolio and _digits(value) == PORTFOLIO_CPF,
    "oabRepresentante": lambda case, value: case.in_portfolio and value.upper() == PORTFOLIO_OAB,
    "nomeParte": lambda case, value: _is_named(case, value, other=False),
    "outroNomeParte": lambda case, value: _is_named(case, value, other=True),
    "tribunal": lambda case, value: case.number.court in value.split(","),
    "siglaTribunal": lambda case, value: case.number.court in value.split(","),
    "idClasse": lambda _case, value: value == "7",
}
"""The filters that the source supports, in addition to the number."""


def _items(case: Case, split: bool) -> list[dict[str, object]]:
    instances = [_instance(case, listing) for listing in case.listings]
    groups = [[instance] for instance in instances] if split else [instances]
    return [
        {
            "numeroProcesso": case.number.masked,
            "nivelSigilo": case.secrecy,
            "idCodexTribunal": 3,
            "siglaTribunal": case.number.court,
            "tramitacoes": group,
        }
        for group in groups
    ]


def _instance(case: Case, listing: Listing) -> dict[str, object]:
    court = case.number.court
    return {
        "idCodex": 0,
        "dataHoraAjuizamento": timestamp(listing.filed_at, court),
        "tribunal": tribunal(case),
        "grau": grade(listing),
        "liminar": False,
        "nivelSigilo": case.secrecy,
        "valorAcao": 10000.5,
        "dataHoraUltimaDistribuicao": timestamp(listing.filed_at, court),
        "classe": classes(case),
        "assunto": subjects(case),
        "ultimoMovimento": {
            "dataHora": timestamp(listing.filed_at, court),
            "descricao": "Distribuído por sorteio",
        },
        "movimentos": movements(case, listing, linked=True)[:MAX_MOVEMENTS],
        "partes": parties(case),
        "ativo": True,
        "orgaoJulgador": {"id": 1, "nome": "1ª Vara de Ensaio"},
        "idFonteDadosCodex": listing.source,
        "permitePeticionar": True,
    }


def _milliseconds(case: Case) -> int:
    return 1_735_689_600_000 + int(case.number.digits[:7])
