"""The facts about a document that the source lists, as API, webhooks and manifest publish them.

Each fact has the name of its column in `autos.records.models.Document` and of its field in
`autos.source.listing.models.ListedDocument`. A new one needs these two, the reader in
`autos/source/listing/parse.py`, a migration, and a member here.
"""

import uuid
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

EXAMPLE: Final[dict[str, Any]] = {
    "id": "2942eaaa-8949-4f79-9385-d91cab92cb49",
    "origin_id": "300000001",
    "sequence": 1,
    "kind": "Petição inicial",
    "kind_code": 58,
    "instance": "G1",
    "secrecy": "PUBLICO",
    "filed_at": "2024-01-10T19:08:52Z",
    "source_order": 172,
    "text_length": 8120,
}


class DocumentFacts(BaseModel):
    """The id of a document and the facts that the source lists about it."""

    model_config = ConfigDict(frozen=True)

    id: uuid.UUID
    origin_id: str | None = Field(
        description="Id in the court's own system, by which the document is cited"
    )
    sequence: int | None = Field(
        description="Number within its instance; the court may withhold numbers in between"
    )
    kind: str | None = Field(description="Kind of document, in the source's words")
    kind_code: int | None = Field(description="Code in the national table (TPU), if given")
    instance: str | None = Field(description="Such as `G1`")
    secrecy: str | None = Field(
        description="Secrecy level in the source's words, such as `PUBLICO`"
    )
    filed_at: datetime | None = Field(description="When it was filed in the case")
    source_order: int | None = Field(
        description="Index in the source's list when it was last read, from 0"
    )
    text_length: int | None = Field(
        description="Characters of the text that the source extracted from the file; a scan that "
        "was never read has hardly any"
    )


def facts_of(row: object) -> dict[str, Any]:
    """The facts in a document's row, by name."""
    return {name: getattr(row, name) for name in DocumentFacts.model_fields}
