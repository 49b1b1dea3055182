"""Where documents and jobs stand. A member's value is stored, sent and shown."""

from enum import StrEnum


class DocumentState(StrEnum):
    """Where one document stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    AVAILABLE = "available"
    FAILED = "failed"


class JobStatus(StrEnum):
    """Where one job stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True once nothing more will happen in the job."""
        return self not in (JobStatus.PENDING, JobStatus.PROCESSING)
