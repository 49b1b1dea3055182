"""Every listed field is stored in a column of the same name."""

from dataclasses import fields

from autos.records.listings import DOCUMENT_FIELDS, PROCESS_FIELDS
from autos.records.movements import read, stored
from autos.source import ListedDocument, ListedMovement, ListedProcess


def test_every_field_of_a_document_is_stored() -> None:
    own = {"source_id", "alternate_ids", "refusal"}
    assert {field.name for field in fields(ListedDocument)} == DOCUMENT_FIELDS | own


def test_every_field_of_a_process_is_stored() -> None:
    own = {"number", "metadata", "documents", "movements"}
    assert {field.name for field in fields(ListedProcess)} == PROCESS_FIELDS | own


def test_movement_is_read_with_every_field_but_its_sequence() -> None:
    names = {field.name for field in fields(ListedMovement)} - {"sequence"}
    (kept,) = stored([ListedMovement(at=None, text="Juntada", document_id="source's", sequence=1)])
    assert kept.keys() == names
    moved = read(kept, 3, {})
    assert moved.keys() == names | {"position", "document_uuid"}
    assert (moved["position"], moved["text"], moved["document_uuid"]) == (3, "Juntada", "source's")


def test_older_stored_movement_lacks_a_new_field() -> None:
    assert read({"text": "Juntada"}, 0, {})["kind_code"] is None
