"""Merges documents (docs/source.md#copies) and movements that several lists contain.

Two sources of the same instance list the same documents under other UUIDs. They are one document
when court, instance and `idOrigem` agree; a first and a second instance are never mixed. Within one
list only a repeated UUID is a duplicate: an `idOrigem` given twice there is the court's mistake.

Movements have no id (docs/source.md#movements): those of equal time and text are the same if they
are in different lists and not of two instances.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Final

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason
from autos.source.listing.addresses import is_text
from autos.source.listing.models import ListedDocument, ListedMovement
from autos.source.listing.values import Instance, may_be_same, without

_NAMESPACE: Final = uuid.UUID("8e4f1d1e-6f0b-5d0e-9a55-0d2f5f1c7a10")
"""Of the ids made for documents that the source lists without a UUID; never change it."""

_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)
_MOVEMENT_FIELDS: Final = tuple(one.name for one in fields(ListedMovement))


@dataclass(frozen=True, slots=True)
class Copy:
    """One document in one list."""

    document: ListedDocument
    """Its `source_id` is empty if the list gives no usable one; `addresses` are file and text."""
    raw: object
    """The element of the list."""
    list_number: int
    """Numbers the lists of a process."""
    court: str
    instance: Instance | None
    has_file_details: bool
    """The list describes the file (`arquivo`)."""

    @property
    def rank(self) -> tuple[bool, bool]:
        """Lowest is preferred: a copy whose file can be fetched, then one with file details."""
        return not _files(self.document.addresses), not self.has_file_details


@dataclass(slots=True)
class _Group:
    copies: list[Copy] = field(default_factory=list)

    def accepts(self, copy: Copy) -> bool:
        """True for a copy from another list with the same instance, or also without one."""
        return all(
            other.list_number != copy.list_number and _is_same(other.instance, copy.instance)
            for other in self.copies
        )


def merge_documents(copies: Iterable[Copy], case: CaseNumber) -> list[ListedDocument]:
    """One document per group of copies, in the order in which they are first listed."""
    groups: list[_Group] = []
    by_id: dict[str, _Group] = {}
    by_origin: dict[tuple[str, str], list[_Group]] = defaultdict(list)
    earlier: dict[tuple[int, str, str], list[_Group]] = {}
    for copy in copies:
        document = copy.document
        key = (copy.court, document.origin_id or "")
        # Groups that this list began are left out: a long list may repeat one `idOrigem`.
        if (copy.list_number, *key) not in earlier:
            earlier[copy.list_number, *key] = by_origin[key].copy()
        group = by_id.get(document.source_id) or _fitting(copy, earlier[copy.list_number, *key])
        if group is None:
            group = _Group()
            groups.append(group)
            if document.origin_id is not None:
                by_origin[key].append(group)
        group.copies.append(copy)
        if document.source_id:
            by_id.setdefault(document.source_id, group)
    taken: set[str] = set()
    return [
        replace(_merged(group, case, taken), source_order=order)
        for order, group in enumerate(groups)
    ]


def _fitting(copy: Copy, groups: list[_Group]) -> _Group | None:
    """The group to which this copy belongs; of several, the one with the same sequence."""
    sequence = copy.document.sequence
    return min(
        (group for group in groups if group.accepts(copy)),
        key=lambda group: group.copies[0].document.sequence != sequence,
        default=None,
    )


def _is_same(one: Instance | None, other: Instance | None) -> bool:
    return one is other if one is None or other is None else one.is_same_as(other)


def _merged(group: _Group, case: CaseNumber, taken: set[str]) -> ListedDocument:
    copies = sorted(group.copies, key=lambda copy: copy.rank)
    preferred = copies[0].document
    addresses = dict.fromkeys(path for copy in copies for path in copy.document.addresses)
    files = _files(addresses)
    ids = list(dict.fromkeys(one.document.source_id for one in copies if one.document.source_id))
    foreign = any(copy.document.refusal is Reason.FOREIGN_HOST for copy in copies)
    refusal = Reason.FOREIGN_HOST if foreign else Reason.NO_ADDRESS
    return replace(
        preferred,
        source_id=ids[0] if ids else _made_id(copies[0], case, taken),
        alternate_ids=tuple(ids[1:]),
        addresses=files or tuple(addresses),
        refusal=None if addresses else refusal,
        instance=_instance_name(group),
        # The listed size is that of the file, not of the text taken out of it.
        expected_size=preferred.expected_size if files else None,
    )


def _files(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(path for path in addresses if not is_text(path))


def _instance_name(group: _Group) -> str | None:
    """Prefer a name that a source gives to one derived from the level."""
    named = [copy.instance for copy in group.copies if copy.instance is not None]
    return next((one.name for one in sorted(named, key=lambda one: not one.by_name)), None)


def _made_id(copy: Copy, case: CaseNumber, taken: set[str]) -> str:
    """An id that is the same at every reading, independent of the position in the list."""
    content = copy.document.origin_id or json.dumps(without(copy.raw, ""), sort_keys=True)
    instance = copy.instance.name if copy.instance is not None else ""
    name = "\n".join((case.digits, copy.court, instance, content))
    made = str(uuid.uuid5(_NAMESPACE, name))
    # Two equal invalid elements in a list are two documents.
    while made in taken:
        made = str(uuid.uuid5(_NAMESPACE, made))
    taken.add(made)
    return made


def merge_movements(lists: Iterable[Iterable[ListedMovement]]) -> tuple[ListedMovement, ...]:
    """Merge the lists: each movement once, with the fields of all lists.

    Instances stay in the order in which they are first listed, each with the newest movement first.
    """
    merged: list[ListedMovement] = []
    known: dict[tuple[datetime | None, str | None], list[int]] = defaultdict(list)
    for listed in lists:
        # Places of earlier lists that this one has not matched yet, the next one last.
        free: dict[tuple[datetime | None, str | None], list[int]] = {}
        for movement in listed:
            key = (movement.at, movement.text)
            if key not in free:
                free[key] = known[key][::-1]
            places = free[key]
            match = next(
                (
                    i
                    for i in reversed(range(len(places)))
                    if may_be_same(merged[places[i]].instance, movement.instance)
                ),
                None,
            )
            if match is not None:
                place = places.pop(match)
                merged[place] = _completed(merged[place], movement)
            else:
                known[key].append(len(merged))
                merged.append(movement)
    order = {name: i for i, name in enumerate(dict.fromkeys(m.instance for m in merged))}
    merged.sort(key=lambda movement: movement.at or _BEFORE_ALL, reverse=True)
    merged.sort(key=lambda movement: order[movement.instance])
    return tuple(merged)


def _completed(movement: ListedMovement, other: ListedMovement) -> ListedMovement:
    missing = [name for name in _MOVEMENT_FIELDS if getattr(movement, name) is None]
    return replace(movement, **{name: getattr(other, name) for name in missing})
