"""Several listings of one document made one.

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
from autos.source.listing.addresses import Address, UnusableAddress, file_of, read_href
from autos.source.listing.instances import Instance
from autos.source.listing.models import ListedDocument
from autos.source.listing.values import (
    integer,
    moment,
    objects,
    secrecy_name,
    size,
    source_uuid,
    text,
    without,
)
from autos.source.replies.content_types import media_type

_NAMESPACE: Final = uuid.UUID("8e4f1d1e-6f0b-5d0e-9a55-0d2f5f1c7a10")
"""Of the ids made up for documents that the source lists without a UUID; never change it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of one `documentos` list; `container` numbers the lists of a process."""

    raw: object
    container: int
    court: str
    instance: Instance | None


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

    def may_hold(self, entry: Entry) -> bool:
        """True for an entry of another list, which names the same instance or none as well."""
        return all(
            copy.entry.container != entry.container
            and _is_same(copy.entry.instance, entry.instance)
            for copy in self.copies
        )


def merge_copies(
    entries: Iterable[Entry], number: CaseNumber, base_url: str
) -> list[ListedDocument]:
    """One document per group of copies, in the order they are first listed."""
    groups: list[_Group] = []
    by_id: dict[str, _Group] = {}
    by_origin: dict[tuple[str, str], list[_Group]] = defaultdict(list)
    earlier: dict[tuple[int, str, str], list[_Group]] = {}
    for entry in entries:
        copy = _read(entry, number, base_url)
        key = (entry.court, copy.origin_id or "")
        # Groups that this very list began are left out: a long list may repeat one `idOrigem`.
        if (entry.container, *key) not in earlier:
            earlier[entry.container, *key] = by_origin[key].copy()
        others = earlier[entry.container, *key]
        group = by_id.get(copy.id or "") or _other_listing(copy, others)
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
    fitting = [group for group in groups if group.may_hold(copy.entry)]
    return min(fitting, key=lambda group: group.copies[0].sequence != copy.sequence, default=None)


def _is_same(one: Instance | None, other: Instance | None) -> bool:
    return one is other if one is None or other is None else one.is_same_as(other)


def _read(entry: Entry, number: CaseNumber, base_url: str) -> _Copy:
    # Some lists hold bare ids.
    fields = entry.raw if isinstance(entry.raw, dict) else {"id": entry.raw}
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
    listed_id = source_uuid(fields.get("id"))
    if not found and listed_id is not None:
        found["hrefBinario"] = file_of(listed_id, number)
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
        instance=_instance_name(group),
        sequence=preferred.sequence,
        name=text(preferred.fields.get("nome")),
        kind=text(kind.get("nome")),
        kind_code=integer(kind.get("codigo")),
        secrecy=secrecy_name(preferred.fields.get("nivelSigilo")),
        filed_at=moment(preferred.fields.get("dataHoraJuntada")),
        declared_type=media_type(text(file.get("tipo"))),
        # `tamanho` is the size of the binary, not of the text taken out of it.
        expected_size=size(file.get("tamanho")) if binaries else None,
    )


def _instance_name(group: _Group) -> str | None:
    """The name that a source gives, rather than one made of the level alone."""
    named = [copy.entry.instance for copy in group.copies if copy.entry.instance is not None]
    return next((one.name for one in sorted(named, key=lambda one: not one.by_name)), None)


def _made_up_id(copy: _Copy, number: CaseNumber, taken: set[str]) -> str:
    """The same id at every reading, wherever in the list the document stands by then."""
    content = copy.origin_id or json.dumps(without(copy.entry.raw, ""), sort_keys=True)
    instance = copy.entry.instance.name if copy.entry.instance is not None else ""
    name = "\n".join((number.digits, copy.entry.court, instance, content))
    made = str(uuid.uuid5(_NAMESPACE, name))
    # Equal junk twice in a list is two documents.
    while made in taken:
        made = str(uuid.uuid5(_NAMESPACE, made))
    taken.add(made)
    return made
