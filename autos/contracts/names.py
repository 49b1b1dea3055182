"""Names that several processes must agree on: task queues, workflow ids, search attributes."""

from typing import Any, Final

from temporalio.common import SearchAttributeKey

JOBS_QUEUE: Final = "autos"
"""Workflows, and activities that only touch records and objects."""
SOURCE_QUEUE: Final = "autos-source"
"""Activities that ask the source; the server limits this queue's rate."""
WEBHOOKS_QUEUE: Final = "autos-webhooks"
"""Deliveries of webhooks, kept apart so that slow receivers hold up no download."""

PROCESS_NUMBER: Final = SearchAttributeKey.for_keyword("ProcessNumber")
COURT: Final = SearchAttributeKey.for_keyword("Court")
JOB_STATUS: Final = SearchAttributeKey.for_keyword("JobStatus")
WAITING_FOR: Final = SearchAttributeKey.for_keyword("WaitingFor")
WAITING_SINCE: Final = SearchAttributeKey.for_datetime("WaitingSince")
DOCUMENTS_TOTAL: Final = SearchAttributeKey.for_int("DocumentsTotal")
DOCUMENTS_FAILED: Final = SearchAttributeKey.for_int("DocumentsFailed")
SEARCH_ATTRIBUTES: Final[tuple[SearchAttributeKey[Any], ...]] = (
    PROCESS_NUMBER,
    COURT,
    JOB_STATUS,
    WAITING_FOR,
    WAITING_SINCE,
    DOCUMENTS_TOTAL,
    DOCUMENTS_FAILED,
)
"""All of them; a namespace must know them before the first job."""


def job_workflow_id(process_number: str) -> str:
    """The workflow id of a process's job, from its 20 digits: at most one runs at a time."""
    return f"download-process/{process_number}"


def delivery_workflow_id(event_id: str) -> str:
    """The workflow id of an event's delivery."""
    return f"webhook/{event_id}"
