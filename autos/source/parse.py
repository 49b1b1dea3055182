"""From the JSON of a process's detail to a `ListedProcess` (facts/pdpj-api.md §5.2, §8.7).

Courts differ in shape and this reads them all: a list, a bare object or `{content: […]}`; several
items of one number; documents at four places; all `tramitacoes` merged. What is listed as a
document is counted, whatever it looks like: junk becomes a document without an address.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from autos.cnj import CaseNumber, InvalidCaseNumber
from autos.source.copies import Entry, merge_copies
from autos.source.listing import ListedDocument, ListedProcess
from autos.source.values import (
    first_label,
    labels,
    moment,
    objects,
    secrecy_level,
    text,
    without,
)

_PLACES_OF_DOCUMENTS: Final = frozenset(
    {"documentos", "tramitacaoAtual", "tramitacoes", "dadosBasicos"}
)


class UnreadableListing(ValueError):
    """The JSON holds nothing about this process; the message says what was looked for."""


def parse_process(number: CaseNumber, payload: object, base_url: str) -> ListedProcess:
    """Read a detail.

    Args:
        number: the process that was asked for; items of another number are left out.
        payload: the decoded JSON.
        base_url: the source's scheme and host, the only place addresses may lead to.

    Raises:
        UnreadableListing: no object about this number is in it.
    """
    items = [item for item in _items(payload) if _is_about(item, number)]
    if not items:
        raise UnreadableListing(
            f"The source's answer holds no object about process {number.masked}."
        )
    runs = [run for item in items for run in _runs(item)]
    entries = (
        Entry(raw, container, _court(run, item) or number.court, _instance(run))
        for container, (item, run) in enumerate(
            (item, run) for item in items for run in (item, *_runs(item))
        )
        for raw in _documents(run)
    )
    return ListedProcess(
        number=number,
        court=number.court,
        secrecy_level=max(secrecy_level(part.get("nivelSigilo")) for part in chain(items, runs)),
        class_name=_first(runs, "classe"),
        subjects=tuple(dict.fromkeys(chain.from_iterable(labels(r.get("assunto")) for r in runs))),
        judging_body=_first(runs, "orgaoJulgador") or _distributed_to(runs),
        filed_at=min(
            (at for run in runs if (at := moment(run.get("dataHoraAjuizamento")))), default=None
        ),
        metadata=_metadata(items),
        documents=tuple(sorted(merge_copies(entries, number, base_url), key=_oldest_first)),
    )


def lists(payload: object, number: CaseNumber) -> bool:
    """Whether an item of a search's answer names this very number."""
    return any(
        text(item.get("numeroProcesso")) is not None and _is_about(item, number)
        for item in _items(payload)
    )


def _items(payload: object) -> Iterator[dict[str, Any]]:
    for item in objects(payload):
        if "content" in item and "numeroProcesso" not in item:
            yield from objects(item["content"])
        else:
            yield item


def _is_about(item: dict[str, Any], number: CaseNumber) -> bool:
    # The source ignores filters it does not know and then lists everything (§2.1).
    named = text(item.get("numeroProcesso"))
    if named is None:
        return not _PLACES_OF_DOCUMENTS.isdisjoint(item)
    try:
        return CaseNumber.parse(named) == number
    except InvalidCaseNumber:
        return False


def _runs(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The runs of a case through its instances (`tramitações`), the present one first."""
    for key in ("tramitacaoAtual", "dadosBasicos", "tramitacoes"):
        yield from objects(item.get(key))


def _documents(run: dict[str, Any]) -> list[object]:
    listed = run.get("documentos")
    if listed is None:
        return []
    return listed if isinstance(listed, list) else [listed]


def _court(run: dict[str, Any], item: dict[str, Any]) -> str | None:
    for court in objects(run.get("tribunal")):
        if (name := text(court.get("sigla"))) is not None:
            return name
    return text(item.get("siglaTribunal"))


def _instance(run: dict[str, Any]) -> str | None:
    for grade in objects(run.get("grau")):
        if (name := text(grade.get("sigla"))) is not None:
            return name
    return text(run.get("grau")) or text(run.get("instancia"))


def _first(runs: list[dict[str, Any]], key: str) -> str | None:
    return first_label(*(run.get(key) for run in runs))


def _distributed_to(runs: list[dict[str, Any]]) -> str | None:
    # `distribuicao` in the present run, `distribuicoes` in the others (§5.2).
    return first_label(
        *(
            distribution.get("orgaoJulgador")
            for run in runs
            for key in ("distribuicao", "distribuicoes")
            for distribution in objects(run.get(key))
        )
    )


def _metadata(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The first item, and the runs of the others among its own."""
    metadata: dict[str, Any] = without(items[0], "documentos")
    others = [without(run, "documentos") for item in items[1:] for run in _runs(item)]
    if others:
        metadata["tramitacoes"] = [*objects(metadata.get("tramitacoes")), *others]
    return metadata


def _oldest_first(document: ListedDocument) -> tuple[bool, float, int, str]:
    """Undated ones come last; equal moments go by sequence, then by id, so that order is stable."""
    dated = document.filed_at is not None
    at = document.filed_at.timestamp() if document.filed_at is not None else 0.0
    sequence = document.sequence if document.sequence is not None else 0
    return not dated, at, sequence, document.source_id
