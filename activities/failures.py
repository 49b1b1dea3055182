"""The type of an activity's failure, and its report in log and metrics.

Temporal receives only the type and a fixed message, because the text of an exception may contain
addresses and parameters. The traceback goes to the log, which removes secrets.
"""

import errno
from typing import Final

import structlog
from temporalio import activity

from autos.contracts.reasons import Reason, WaitReason
from autos.contracts.temporal_names import INTERNAL_ERROR, RECORDS, STORAGE
from autos.records.database import is_outage
from autos.store import StoreError

log = structlog.get_logger(__name__)

METRIC: Final = "autos_activity_failures"

MESSAGES: Final = {
    RECORDS: WaitReason.RECORDS.text,
    STORAGE: WaitReason.STORAGE.text,
    INTERNAL_ERROR: Reason.INTERNAL_ERROR.text,
}

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class QueuedTooLong(Exception):
    """An activity waited for a slot, a court's turn or a permit for too long."""


def disk_failed(error: BaseException) -> bool:
    """True if the disk of the spool is full or broken."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


def failure_type(error: BaseException) -> str:
    """RECORDS, STORAGE or INTERNAL_ERROR; the first error of a group decides."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, StoreError) or disk_failed(error):
        return STORAGE
    # Permits are held in the records, and a queued activity can be run again.
    if is_outage(error) or isinstance(error, QueuedTooLong):
        return RECORDS
    return INTERNAL_ERROR


def report(error: Exception, **fields: object) -> str:
    """Log and count a failure of the running activity; returns its type.

    Args:
        error: what was raised.
        fields: more fields of the log line, without names and addresses.
    """
    kind = failure_type(error)
    info = activity.info()
    fields = {"activity": info.activity_type, "attempt": info.attempt, "kind": kind} | fields
    if kind is INTERNAL_ERROR:
        log.error("activity_failed", exc_info=error, **fields)
    else:
        log.warning("activity_failed", error=type(error).__name__, **fields)
    counter = activity.metric_meter().create_counter(
        METRIC, "Failures of activities and of single documents in them, by kind"
    )
    counter.add(1, {"kind": kind})
    return kind
