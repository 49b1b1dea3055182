"""The JSON of a search (docs/source.md#searches): pages of 100 cases, whatever size is requested.

Like the source, it ignores filters that it does not know; such a search lists all cases.
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
"""Of one instance in one item."""


class NoSuchPage(ValueError):
    """`searchAfter` has another form than the source accepts, or no page follows it (404)."""


def read_offset(cases: list[Case], search_after: str | None) -> int:
    """The offset of the page after `searchAfter`, which must be comma-joined.

    Raises:
        NoSuchPage: it is in another form, or names no case of this search.
    """
    if search_after is None:
        return 0
    moment, comma, found = search_after.partition(",")
    if not (comma and moment.isdigit()):
        raise NoSuchPage
    for i, case in enumerate(cases):
        if case.number.digits == found:
            return i + 1
    raise NoSuchPage


def page(cases: list[Case], offset: int, faults: Collection[FaultName]) -> dict[str, object]:
    """The page that begins at the offset.

    Raises:
        NoSuchPage: it is the one after the last, and no fault asks for another answer.
    """
    shown = cases[offset : offset + PAGE_ITEMS]
    if not shown:
        if FaultName.SEARCH_END_NULL in faults:
            return {"total": len(cases), "numberOfElements": 0, "content": None}
        if FaultName.SEARCH_END_EMPTY in faults:
            return {"total": len(cases), "numberOfElements": 0, "content": []}
        raise NoSuchPage
    split = FaultName.SEARCH_SPLIT_ITEM in faults
    content = [item for case in shown for item in _items(case, split)]
    answer: dict[str, object] = {
        "total": len(cases),
        "numberOfElements": len(content),
        "maxElementsSize": 1 if len(cases) == 1 else PAGE_ITEMS,
    }
    if len(cases) > 1:
        # Also on the last page.
        answer["searchAfter"] = [_milliseconds(shown[-1]), shown[-1].number.digits]
    return answer | {"content": content}


def matching(cases: Mapping[str, Case], filters: Mapping[str, str]) -> list[Case]:
    """The cases a search finds, in a stable order.

    Args:
        cases: all, by digits.
        filters: the parameters of the query.
    """
    if number := filters.get("numeroProcesso"):
        digits = _digits(number)
        found = [cases[digits]] if digits in cases else []
    else:
        found = [cases[digits] for digits in sorted(cases)]
        found = [case for case in found if case.accessible]
    wanted = [(_FILTERS[name], value) for name, value in filters.items() if name in _FILTERS]
    return [case for case in found if all(fits(case, value) for fits, value in wanted)]


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
"""The filters that the source knows, besides the number."""


def _items(case: Case, split: bool) -> list[dict[str, object]]:
    runs = [_run(case, listing) for listing in case.listings]
    groups = [[run] for run in runs] if split else [runs]
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


def _run(case: Case, listing: Listing) -> dict[str, object]:
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
