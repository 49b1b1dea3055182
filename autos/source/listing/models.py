"""The data that the source lists for a process.

A field of `ListedDocument` has the name of its column in `autos.records.models.Document`. To add
one, add it here, read it in `parse.py`, and add the column.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autos.cnj import CaseNumber
from autos.contracts.reasons import Reason


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """One document, merged from all lists that contain it."""

    source_id: str
    """The UUID of the preferred copy, or a stable one made of its content (UUID version 5)."""
    alternate_ids: tuple[str, ...]
    """The UUIDs of the other copies."""
    addresses: tuple[str, ...]
    """Paths on the source's host, to be tried in this order; empty if and only if `refused` is
    set."""
    refusal: Reason | None
    """NO_ADDRESS or FOREIGN_HOST, if the list alone shows that it cannot be downloaded."""
    origin_id: str | None
    """The id in the court's own system (`idOrigem`)."""
    instance: str | None
    """The short name of the instance, such as `G1`."""
    sequence: int | None
    name: str | None
    kind: str | None
    kind_code: int | None
    """The code of the kind in the national table (TPU), where the court gives it."""
    secrecy: str | None
    """In the source's words, such as `PUBLICO`; a number is translated into words."""
    filed_at: datetime | None
    """UTC."""
    declared_type: str | None
    """A media type in lower case."""
    expected_size: int | None
    """Bytes of the file behind the first address; None where it is not listed."""
    source_order: int = 0
    """The place in the source's own order, from 0; unique in the process."""
    text_length: int | None = None
    """Characters of the text that the source extracted from the file (`arquivo.tamanhoTexto`)."""


@dataclass(frozen=True, slots=True)
class ListedMovement:
    """One movement (`movimento`) of the case, merged from all lists that contain it."""

    at: datetime | None
    """UTC."""
    text: str | None
    kind: str | None = None
    """The name of the movement's type; only some replies give it."""
    kind_code: int | None = None
    """The code of the type in the national table (TPU), where the source gives it."""
    document_id: str | None = None
    """The UUID of the document it brought in: a `source_id` or one of the `alternate_ids`. The
    document itself may be withheld from the list. Only searches give it."""
    instance: str | None = None
    """As in `ListedDocument`."""
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class ListedProcess:
    """A process with all of its documents and movements, in the source's own order.

    The source lists the present instance before earlier ones, and in each the newest first
    (docs/source.md#order).
    """

    number: CaseNumber
    court: str
    secrecy_level: int
    """0 (public) to 5."""
    class_name: str | None
    subjects: tuple[str, ...]
    judging_body: str | None
    filed_at: datetime | None
    """UTC; the earliest filing over all instances."""
    metadata: dict[str, Any]
    """The source's detail without the documents; valid JSON, free of NUL characters."""
    documents: tuple[ListedDocument, ...]
    movements: tuple[ListedMovement, ...] = ()
