"""What the source lists reaches its row: a field without a column of its name would be lost."""

from dataclasses import fields

from autos.records.listings import DOCUMENT_FIELDS, PROCESS_FIELDS
from autos.source import ListedDocument, ListedProcess


def test_every_field_of_a_document_is_copied_or_written_by_code_of_its_own() -> None:
    own = {"source_id", "alternate_ids", "refusal"}
    assert {field.name for field in fields(ListedDocument)} == DOCUMENT_FIELDS | own


def test_every_field_of_a_process_is_copied_or_written_by_code_of_its_own() -> None:
    own = {"number", "metadata", "documents", "movements"}
    assert {field.name for field in fields(ListedProcess)} == PROCESS_FIELDS | own
