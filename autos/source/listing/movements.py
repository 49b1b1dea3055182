"""Movements (`movimentos`) of a case: each is read, and several lists of them are made one.

A detail lists moments and texts; a search lists the same movements with their types and with the
document that each brought in. Two sources of one instance list them twice.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Final

from autos.source.listing.instances import Instance, may_be_same
from autos.source.listing.models import ListedMovement
from autos.source.listing.values import first_label, integer, moment, objects, source_uuid, text

_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)
_FIELDS: Final = tuple(field.name for field in fields(ListedMovement))

_Key = tuple[datetime | None, str | None]


def read_movement(raw: object, instance: Instance | None) -> ListedMovement | None:
    """One element of a list of movements; None for one that says nothing."""
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
    said = (movement.at, movement.text, movement.document_id)
    return movement if any(value is not None for value in said) else None


def merge_movements(lists: Iterable[Iterable[ListedMovement]]) -> tuple[ListedMovement, ...]:
    """Each movement once, with all that any list says of it.

    Movements of equal moment and text are the same if they are in different lists, and not of two
    instances. The instances stay in the order in which they are first listed; in each the newest
    come first.
    """
    merged: list[ListedMovement] = []
    known: dict[_Key, list[int]] = defaultdict(list)
    for listed in lists:
        # Places of earlier lists that this one has not matched yet, the next one last.
        free: dict[_Key, list[int]] = {}
        for movement in listed:
            key = (movement.at, movement.text)
            if key not in free:
                free[key] = known[key][::-1]
            places = free[key]
            fitting = (
                i for i in reversed(range(len(places))) if _fits(merged[places[i]], movement)
            )
            match = next(fitting, None)
            if match is not None:
                place = places.pop(match)
                merged[place] = _filled_up(merged[place], movement)
            else:
                known[key].append(len(merged))
                merged.append(movement)
    order = {name: i for i, name in enumerate(dict.fromkeys(m.instance for m in merged))}
    merged.sort(key=lambda movement: movement.at or _BEFORE_ALL, reverse=True)
    merged.sort(key=lambda movement: order[movement.instance])
    return tuple(merged)


def _fits(movement: ListedMovement, other: ListedMovement) -> bool:
    return may_be_same(movement.instance, other.instance)


def _filled_up(movement: ListedMovement, other: ListedMovement) -> ListedMovement:
    missing = [name for name in _FIELDS if getattr(movement, name) is None]
    return replace(movement, **{name: getattr(other, name) for name in missing})
