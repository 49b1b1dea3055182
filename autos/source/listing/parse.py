"""Parses the JSON of a process's detail into a `ListedProcess` (docs/source.md#listings).

Courts differ in shape, and all shapes are read: a list, a bare object or `{content: […]}`; several
items of one number; documents and movements anywhere; the portal's shape and the data lake's. Every
element of a list of documents counts as a document; an invalid one has no address.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.source.listing.addresses import Address, CaseAddresses, UnusableAddress
from autos.source.listing.duplicates import Copy, merge_documents, merge_movements
from autos.source.listing.models import ListedDocument, ListedMovement, ListedProcess
from autos.source.listing.values import (
    Instance,
    first_label,
    integer,
    is_deeper_than,
    labels,
    moment,
    objects,
    read_instance,
    secrecy_level,
    secrecy_name,
    size,
    source_uuid,
    text,
    without,
)
from autos.source.replies.content_types import media_type

DEEPEST: Final = 100
"""Levels of lists and objects that are read; real listings have ten."""

_RUNS: Final = ("tramitacaoAtual", "dadosBasicos", "tramitacoes")
_PLACES_OF_DOCUMENTS: Final = frozenset({"documentos", *_RUNS})
_LISTS: Final = frozenset({"documentos", "movimentos"})
_OTHERS: Final = frozenset({"partes", "processosRelacionados"})
"""Where `documentos` are identity papers, or those of another process."""


class UnreadableListing(ValueError):
    """The JSON contains nothing about this process; the message says what was expected."""


def parse_process(case: CaseNumber, payload: object, base_url: str) -> ListedProcess:
    """Parse a detail.

    Args:
        case: the process that was requested; items of another number are left out.
        payload: the decoded JSON.
        base_url: the source's scheme and host; addresses on others are refused.

    Raises:
        UnreadableListing: no object about this number is in it, or it is nested too deep.
    """
    items = _items_about(case, payload)
    if not items:
        raise UnreadableListing(
            f"The source's response has no object about process {case.masked}, or is nested "
            f"deeper than {DEEPEST} levels."
        )
    runs = [run for item in items for run in _runs(item)]
    places = [place for item in items for place in _places(item, case)]
    case_addresses = CaseAddresses(case, base_url)
    copies = (
        _copy(raw, list_number, place, case_addresses)
        for list_number, place in enumerate(places)
        for raw in _documents(place.fields)
    )
    return ListedProcess(
        number=case,
        court=case.court,
        secrecy_level=max(secrecy_level(part.get("nivelSigilo")) for part in chain(items, runs)),
        class_name=_first(runs, "classe"),
        subjects=tuple(dict.fromkeys(chain.from_iterable(labels(r.get("assunto")) for r in runs))),
        judging_body=_first(runs, "orgaoJulgador") or _distributed_to(runs),
        filed_at=min(
            (at for run in runs if (at := moment(run.get("dataHoraAjuizamento")))), default=None
        ),
        metadata=_metadata(items),
        documents=tuple(merge_documents(copies, case)),
        movements=merge_movements(map(_movements, places)),
    )


def parse_movements(case: CaseNumber, payload: object) -> tuple[ListedMovement, ...]:
    """Parse only the movements, from the decoded JSON of a detail or a search."""
    items = _items_about(case, payload)
    return merge_movements(_movements(place) for item in items for place in _places(item, case))


def is_listed(case: CaseNumber, payload: object) -> bool:
    """Whether an item of a search's reply names this number (docs/source.md#searches)."""
    return any(_names(item, case) for item in _items(payload))


@dataclass(frozen=True, slots=True)
class _Place:
    """An object in a listing; court and instance may be inherited from an outer object."""

    fields: dict[str, Any]
    court: str
    instance: Instance | None


def _items_about(case: CaseNumber, payload: object) -> list[dict[str, Any]]:
    if is_deeper_than(DEEPEST, payload):
        return []
    # The source ignores unknown filters and then lists all cases.
    return [
        item
        for item in _items(payload)
        if (named := _names(item, case))
        or (named is None and not _PLACES_OF_DOCUMENTS.isdisjoint(item))
    ]


def _items(payload: object) -> Iterator[dict[str, Any]]:
    for item in objects(payload):
        if "content" in item and "numeroProcesso" not in item:
            yield from objects(item["content"])
        else:
            yield item


def _names(item: dict[str, Any], case: CaseNumber) -> bool | None:
    """Whether an item names this number; None if it names none."""
    named = item.get("numeroProcesso")
    if named is None:
        return None
    # A number in JSON has lost its leading zeros.
    return case.is_written(f"{named:020}" if type(named) is int else str(named))


def _runs(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The runs of a case through its instances (`tramitações`), the present one first."""
    for key in _RUNS:
        yield from objects(item.get(key))


def _places(item: dict[str, Any], case: CaseNumber) -> Iterator[_Place]:
    """Every object in an item that lists documents or movements, outer and known ones first."""
    court = text(item.get("siglaTribunal")) or case.court
    waiting: list[tuple[object, str, Instance | None]] = [(item, court, None)]
    while waiting:
        value, court, instance = waiting.pop()
        if isinstance(value, list):
            waiting.extend((child, court, instance) for child in reversed(value))
        if not isinstance(value, dict):
            continue
        if _names(value, case) is False:
            continue
        court, instance = _court(value) or court, read_instance(value) or instance
        if not _LISTS.isdisjoint(value):
            yield _Place(value, court, instance)
        keys = [*_RUNS, *(key for key in value if key not in _RUNS and key not in _OTHERS)]
        waiting.extend((value.get(key), court, instance) for key in reversed(keys))


def _documents(place: dict[str, Any]) -> list[object]:
    listed = place.get("documentos")
    if isinstance(listed, dict) and not listed.keys().isdisjoint({"content", "documentos"}):
        listed = listed.get("content")
    if isinstance(listed, dict):
        return [listed]
    # Other values are a count or empty.
    return listed if isinstance(listed, list) else []


def _copy(raw: object, list_number: int, place: _Place, case_addresses: CaseAddresses) -> Copy:
    # Some lists contain bare ids.
    fields = raw if isinstance(raw, dict) else {"id": raw}
    addresses, refusal = _addresses(fields, case_addresses)
    kind = next(objects(fields.get("tipo")), {"nome": fields.get("tipo")})
    files = list(objects(fields.get("arquivo")))
    details = files[0] if files else {}
    document = ListedDocument(
        source_id=addresses[0].document if addresses else "",
        alternate_ids=(),
        addresses=tuple(address.path for address in addresses),
        refusal=refusal,
        origin_id=text(fields.get("idOrigem")),
        instance=place.instance.name if place.instance is not None else None,
        sequence=integer(fields.get("sequencia")),
        name=text(fields.get("nome")),
        kind=text(kind.get("nome")),
        kind_code=integer(kind.get("codigo")),
        secrecy=secrecy_name(fields.get("nivelSigilo")),
        filed_at=moment(fields.get("dataHoraJuntada")),
        declared_type=media_type(text(details.get("tipo"))),
        expected_size=size(details.get("tamanho")),
        text_length=integer(details.get("tamanhoTexto")),
    )
    return Copy(document, raw, list_number, place.court, place.instance, any(files))


def _addresses(
    fields: dict[str, Any], case_addresses: CaseAddresses
) -> tuple[list[Address], Reason | None]:
    """The addresses of the file and of the text, or why there are none."""
    found: list[Address] = []
    refusal = Reason.NO_ADDRESS
    for key in ("hrefBinario", "hrefTexto"):
        href = fields.get(key)
        if not isinstance(href, str) or not href.strip():
            continue
        try:
            found.append(case_addresses.from_href(href))
        except UnusableAddress as error:
            if error.reason is Reason.FOREIGN_HOST:
                refusal = error.reason
    listed_id = source_uuid(fields.get("id"))
    if not found and listed_id is not None:
        found.append(case_addresses.file_of(listed_id))
    return found, None if found else refusal


def _movements(place: _Place) -> list[ListedMovement]:
    listed = place.fields.get("movimentos")
    raw = listed if isinstance(listed, list) else [listed]
    read = (_movement(one, place.instance) for one in raw)
    return [movement for movement in read if movement is not None]


def _movement(raw: object, instance: Instance | None) -> ListedMovement | None:
    """One element of a list of movements; None if it has no time, text or document."""
    given = raw if isinstance(raw, dict) else {"descricao": raw}
    kind = next(objects(given.get("tipo")), {"nome": given.get("tipo")})
    codes = (kind.get("codigo"), kind.get("id"), given.get("codigo"))
    movement = ListedMovement(
        at=moment(given.get("dataHora")),
        text=first_label(given.get("descricao"), kind),
        kind=text(kind.get("nome")) or text(kind.get("descricao")),
        kind_code=next((code for code in map(integer, codes) if code is not None), None),
        document_id=source_uuid(given.get("idDocumento")),
        instance=instance.name if instance is not None else None,
        sequence=integer(given.get("sequencia")),
    )
    given_values = (movement.at, movement.text, movement.document_id)
    return movement if any(value is not None for value in given_values) else None


def _court(run: dict[str, Any]) -> str | None:
    for court in objects(run.get("tribunal")):
        if (name := text(court.get("sigla"))) is not None:
            return name.upper()
    name = text(run.get("tribunal"))
    return name.upper() if name is not None else None


def _first(runs: list[dict[str, Any]], key: str) -> str | None:
    return first_label(*(run.get(key) for run in runs))


def _distributed_to(runs: list[dict[str, Any]]) -> str | None:
    return first_label(
        *(
            distribution.get("orgaoJulgador")
            for run in runs
            for key in ("distribuicao", "distribuicoes")
            for distribution in objects(run.get(key))
        )
    )


def _metadata(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The first item, with the runs of the other items added to its own."""
    metadata: dict[str, Any] = without(items[0], "documentos")
    others = [without(run, "documentos") for item in items[1:] for run in _runs(item)]
    if others:
        metadata["tramitacoes"] = [*objects(metadata.get("tramitacoes")), *others]
    return metadata
