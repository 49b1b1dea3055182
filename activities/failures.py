"""Decides what type of failure an exception is, and reports it in log and metrics.

Temporal learns the type and a sentence of ours only: the text of an exception may hold addresses
and parameters. The traceback goes to the log, which takes secrets out.
"""

import errno
from typing import Final

import structlog
from temporalio import activity

from activities.heartbeat import LineTooLong
from autos.contracts.names import INTERNAL_ERROR, RECORDS, STORAGE
from autos.records.errors import is_outage
from autos.store import StoreError

log = structlog.get_logger(__name__)

METRIC: Final = "autos_activity_failures"

SENTENCES: Final = {
    RECORDS: "PostgreSQL does not answer this worker; see the worker's log.",
    STORAGE: "The object store or the worker's disk takes nothing; see the log.",
    INTERNAL_ERROR: "An unexpected error, most likely a defect; see the worker's log.",
}

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


def disk_failed(error: BaseException) -> bool:
    """True if the disk of the spool is full or broken."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


def failure_type(error: BaseException) -> str:
    """RECORDS, STORAGE or INTERNAL_ERROR; of several errors at once the first decides."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, StoreError) or disk_failed(error):
        return STORAGE
    # Permits come from the records; what is in line has not begun, so it can begin anew.
    if is_outage(error) or isinstance(error, LineTooLong):
        return RECORDS
    return INTERNAL_ERROR


def report(error: Exception, **about: object) -> str:
    """Log and count a failure of the running activity; answers its type.

    Args:
        error: what was raised.
        about: further fields of the log line, free of names and addresses.
    """
    kind = failure_type(error)
    info = activity.info()
    fields = {"activity": info.activity_type, "attempt": info.attempt, "kind": kind} | about
    if kind is INTERNAL_ERROR:
        log.error("activity_failed", exc_info=error, **fields)
    else:
        log.warning("activity_failed", error=type(error).__name__, **fields)
    counter = activity.metric_meter().create_counter(
        METRIC, "Failures of activities and of single documents in them, by kind"
    )
    counter.add(1, {"kind": kind})
    return kind
