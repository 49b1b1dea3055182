"""The states of documents and jobs. A member's value is stored, sent and shown."""

from enum import StrEnum


class DocumentState(StrEnum):
    """The state of a document."""

    PENDING = "pending"
    PROCESSING = "processing"
    AVAILABLE = "available"
    FAILED = "failed"


class JobStatus(StrEnum):
    """The status of a job."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True once the job has ended."""
        return self not in (JobStatus.PENDING, JobStatus.PROCESSING)
