"""Names in Temporal that several processes must agree on.

Task queues, workflow ids, search attributes, schedules, and the types of errors.
"""

from typing import Any, Final

from temporalio.common import SearchAttributeKey

from autos.contracts.reasons import Reason, WaitReason

JOBS_QUEUE: Final = "autos"
"""Workflows, and activities that only use records and objects."""
SOURCE_QUEUE: Final = "autos-source"
"""Activities that send requests to the source; the server limits this queue's rate."""
WEBHOOKS_QUEUE: Final = "autos-webhooks"
"""Deliveries of webhooks, kept apart because slow receivers must not delay downloads."""

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
"""All of them; a namespace must have them before the first job."""

JOB_WORKFLOW: Final = "DownloadProcessWorkflow"
DELIVERY_WORKFLOW: Final = "DeliverWebhookWorkflow"

RECONCILIATION: Final = "reconcile"
"""The schedule of the frequent steps; the ids of its workflows begin with it."""
RECONCILIATION_OF_OBJECTS: Final = "reconcile-objects"
"""The schedule of the daily steps."""

# Error types, by which workflows and the API decide. Their messages are for people only.
RECORDS: Final = WaitReason.RECORDS.value
"""From an activity: PostgreSQL is not available. Worth waiting for."""
STORAGE: Final = WaitReason.STORAGE.value
"""From an activity: the object store is not available, or a worker's disk is full. Worth waiting
for."""
INTERNAL_ERROR: Final = Reason.INTERNAL_ERROR.value
"""From an activity: a defect, or an input that cannot be processed. Not worth waiting for."""
SOURCE_REFUSED: Final = "source_refused"
"""From `await_source`: the source still does not work; the server retries the activity."""
JOB_ENDED: Final = "job_ended"
"""From an update: the job has ended; a newer one may be running."""
JOB_CLOSING: Final = "job_closing"
"""From an update: the job is recording how it ended and can no longer be changed."""

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


def reconciliation_workflow_id(*, dry_run: bool) -> str:
    """The workflow id of a requested reconciliation: at most one of each kind runs at a time."""
    return f"{RECONCILIATION}/{'dry-run' if dry_run else 'by-request'}"
