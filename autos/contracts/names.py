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


_JOB: Final = "download-process/"


def job_workflow_id(process_number: str) -> str:
    """The workflow id of a process's job, from its 20 digits: at most one runs at a time."""
    return _JOB + process_number


def process_number_of(workflow_id: str) -> str:
    """The 20 digits in a job's workflow id."""
    return workflow_id.removeprefix(_JOB)


def delivery_workflow_id(event_id: str) -> str:
    """The workflow id of an event's delivery."""
    return f"webhook/{event_id}"


RECONCILIATION: Final = "reconcile"
"""The schedule of what is compared often; its workflows' ids begin with it, too."""
RECONCILIATION_OF_OBJECTS: Final = "reconcile-objects"
"""The schedule of what is compared once a day."""


def reconciliation_workflow_id(*, dry_run: bool) -> str:
    """The workflow id of a reconciliation that somebody asked for: at most one of each runs."""
    return f"{RECONCILIATION}/{'dry-run' if dry_run else 'by-request'}"
