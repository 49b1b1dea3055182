"""Response models of the process and movement routes."""

import uuid
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from api.jobs.schemas import COUNTERS, Counters
from api.schemas import CASE_PATH, JOB_ID, NUMBER, Answer, Example, MaskedNumber, Page, shown
from autos.contracts.states import JobStatus

PROCESS: Final[Example] = {
    "process_number": NUMBER,
    "court": "TJSP",
    "segment": "JUSTICA_ESTADUAL",
    "class_name": "Procedimento Comum Cível",
    "subjects": ["Indenização por Dano Moral"],
    "judging_body": "1ª Vara Cível",
    "secrecy_level": 0,
    "filed_at": "2024-01-10T19:08:52Z",
    "details": {"siglaTribunal": "TJSP", "tramitacaoAtual": {"valorAcao": 10000.0}},
    "fetched_at": "2026-01-15T13:00:00.600000Z",
    "job_id": JOB_ID,
    "status": "processing",
    "documents": COUNTERS,
    "status_url": f"{CASE_PATH}/status",
    "documents_url": f"{CASE_PATH}/documents",
    "movements_url": f"{CASE_PATH}/movements",
}


class Process(Answer):
    """A process with its metadata."""

    model_config = shown(PROCESS)

    process_number: MaskedNumber
    court: str = Field(examples=["TJSP"])
    segment: str = Field(examples=["JUSTICA_ESTADUAL"])
    class_name: str | None
    subjects: list[str]
    judging_body: str | None
    secrecy_level: int | None
    filed_at: datetime | None
    details: dict[str, Any] = Field(description="The rest of the source's metadata")
    fetched_at: datetime | None
    job_id: str | None
    status: JobStatus
    documents: Counters
    status_url: str
    documents_url: str
    movements_url: str


class Movement(Answer):
    """A movement of a process, in the source's words."""

    model_config = shown(
        {
            "position": 1,
            "at": "2024-01-10T19:08:52Z",
            "text": "Juntada de Petição inicial",
            "kind": "Juntada",
            "kind_code": 67,
            "instance": "G1",
            "document_id": "2942eaaa-8949-4f79-9385-d91cab92cb49",
            "document_uuid": "a4aeca72-47c4-572f-b300-ec7471126093",
        }
    )

    position: int = Field(
        description="Counted from the oldest movement; newer movements get higher numbers"
    )
    at: datetime | None
    text: str | None
    kind: str | None = Field(description="Type of movement, if the court gives one")
    kind_code: int | None = Field(description="Code in the national table (TPU), if given")
    instance: str | None = Field(description="Such as `G1`")
    document_id: uuid.UUID | None = Field(
        description="Document that it added, if the source links one and lists it"
    )
    document_uuid: str | None = Field(
        description="The source's id of that document, also if the document is withheld"
    )


class MovementPage(Page):
    """A page of movements."""

    items: list[Movement]


class ListedProcess(Answer):
    """A process in the list, without its metadata."""

    model_config = shown(
        {
            "process_number": NUMBER,
            "court": "TJSP",
            "class_name": "Procedimento Comum Cível",
            "total_documents": 173,
            "status": "completed",
            "fetched_at": "2026-01-15T13:00:00.600000Z",
            "created_at": "2026-01-15T13:00:00Z",
        }
    )

    process_number: MaskedNumber
    court: str
    class_name: str | None
    total_documents: int
    status: JobStatus
    fetched_at: datetime | None
    created_at: datetime


class ProcessPage(Page):
    """A page of processes."""

    items: list[ListedProcess]
