"""Several listings of one document made one (facts/pdpj-api.md §8.7; failures F28, U5).

Two sources of the same instance list the same documents under other UUIDs. They are one document
when court, instance and `idOrigem` agree; a first and a second instance are never mixed. Within
one list nothing is dropped unless its UUID is repeated: an `idOrigem` given twice there is the
court's mistake, not a second listing.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from autos.cnj import CaseNumber
from autos.contracts.states import Reason
from autos.source.addresses import Address, UnusableAddress, read_href
from autos.source.listing import ListedDocument
from autos.source.values import integer, moment, objects, secrecy_name, size, text, without

_NAMESPACE: Final = uuid.UUID("8e4f1d1e-6f0b-5d0e-9a55-0d2f5f1c7a10")
"""Of the ids made up for documents that the source lists without a UUID; never change it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of one `documentos` list; `container` numbers the lists of a process."""

    raw: object
    container: int
    court: str
    instance: str | None


@dataclass(frozen=True, slots=True)
class _Copy:
    entry: Entry
    fields: dict[str, Any]
    binary: Address | None
    text: Address | None
    refusal: Reason
    origin_id: str | None
    sequence: int | None

    @property
    def id(self) -> str | None:
        address = self.binary or self.text
        return address.document if address is not None else None

    @property
    def rank(self) -> tuple[bool, bool]:
        """Lowest is preferred: one that can be fetched, then one with `arquivo`."""
        return self.binary is None, not any(objects(self.fields.get("arquivo")))


@dataclass(slots=True)
class _Group:
    copies: list[_Copy] = field(default_factory=list)

    def lists(self, container: int) -> bool:
        return any(copy.entry.container == container for copy in self.copies)


def merge_copies(
    entries: Iterable[Entry], number: CaseNumber, base_url: str
) -> list[ListedDocument]:
    """One document per group of copies, in the order they are first listed."""
    groups: list[_Group] = []
    by_id: dict[str, _Group] = {}
    by_origin: dict[tuple[str, str | None, str], list[_Group]] = defaultdict(list)
    for entry in entries:
        copy = _read(entry, number, base_url)
        key = (entry.court, entry.instance, copy.origin_id or "")
        group = by_id.get(copy.id or "") or _other_listing(copy, by_origin.get(key, []))
        if group is None:
            group = _Group()
            groups.append(group)
            if copy.origin_id is not None:
                by_origin[key].append(group)
        group.copies.append(copy)
        if copy.id is not None:
            by_id.setdefault(copy.id, group)
    taken: set[str] = set()
    return [_listed(group, number, taken) for group in groups]


def _other_listing(copy: _Copy, groups: list[_Group]) -> _Group | None:
    """The group this is one more listing of; where several fit, the one of equal sequence."""
    fitting = [group for group in groups if not group.lists(copy.entry.container)]
    return min(fitting, key=lambda group: group.copies[0].sequence != copy.sequence, default=None)


def _read(entry: Entry, number: CaseNumber, base_url: str) -> _Copy:
    fields = entry.raw if isinstance(entry.raw, dict) else {}
    refusal = Reason.NO_ADDRESS
    found: dict[str, Address] = {}
    for key in ("hrefBinario", "hrefTexto"):
        href = fields.get(key)
        if not isinstance(href, str) or not href.strip():
            continue
        try:
            found[key] = read_href(href, number, base_url)
        except UnusableAddress as error:
            if error.reason is Reason.FOREIGN_HOST:
                refusal = error.reason
    return _Copy(
        entry=entry,
        fields=fields,
        binary=found.get("hrefBinario"),
        text=found.get("hrefTexto"),
        refusal=refusal,
        origin_id=text(fields.get("idOrigem")),
        sequence=integer(fields.get("sequencia")),
    )


def _listed(group: _Group, number: CaseNumber, taken: set[str]) -> ListedDocument:
    copies = sorted(group.copies, key=lambda copy: copy.rank)
    preferred = copies[0]
    binaries = dict.fromkeys(copy.binary.path for copy in copies if copy.binary is not None)
    texts = dict.fromkeys(copy.text.path for copy in copies if copy.text is not None)
    addresses = tuple(binaries or texts)
    ids = list(dict.fromkeys(copy.id for copy in copies if copy.id is not None))
    if not ids:
        ids = [_made_up_id(preferred, number, taken)]
    foreign = any(copy.refusal is Reason.FOREIGN_HOST for copy in copies)
    file = next(objects(preferred.fields.get("arquivo")), {})
    kind = next(objects(preferred.fields.get("tipo")), {"nome": preferred.fields.get("tipo")})
    return ListedDocument(
        source_id=ids[0],
        alternate_ids=tuple(ids[1:]),
        addresses=addresses,
        refusal=None if addresses else Reason.FOREIGN_HOST if foreign else Reason.NO_ADDRESS,
        origin_id=preferred.origin_id,
        instance=preferred.entry.instance,
        sequence=preferred.sequence,
        name=text(preferred.fields.get("nome")),
        kind=text(kind.get("nome")),
        kind_code=integer(kind.get("codigo")),
        secrecy=secrecy_name(preferred.fields.get("nivelSigilo")),
        filed_at=moment(preferred.fields.get("dataHoraJuntada")),
        declared_type=text(file.get("tipo")),
        # `tamanho` is the size of the binary, not of the text taken out of it (§5.3).
        expected_size=size(file.get("tamanho")) if binaries else None,
    )


def _made_up_id(copy: _Copy, number: CaseNumber, taken: set[str]) -> str:
    """The same id at every reading, wherever in the list the document stands by then."""
    content = copy.origin_id or json.dumps(without(copy.entry.raw, ""), sort_keys=True)
    name = "\n".join((number.digits, copy.entry.court, copy.entry.instance or "", content))
    made = str(uuid.uuid5(_NAMESPACE, name))
    # Equal junk twice in a list is two documents.
    while made in taken:
        made = str(uuid.uuid5(_NAMESPACE, made))
    taken.add(made)
    return made
