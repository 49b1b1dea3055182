"""What an activity's failure is called in Temporal: its `ApplicationError.type`.

The worker translates every exception once, so a workflow can tell an outage of our own, which it
waits out, from a defect, which it tries a bounded number of times.
"""

from enum import StrEnum

from autos.contracts.states import Reason, WaitReason


class FailureType(StrEnum):
    """Equal to the `WaitReason` that a job shows meanwhile, or to the `Reason` it ends with."""

    RECORDS = WaitReason.RECORDS.value
    STORAGE = WaitReason.STORAGE.value
    INTERNAL_ERROR = Reason.INTERNAL_ERROR.value
