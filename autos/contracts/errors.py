"""Types of the errors that activities and updates raise, by which workflows and the API decide.

An error's type is stable; its text is for people and never decided by.
"""

from typing import Final

from autos.contracts.states import Reason, WaitReason

RECORDS: Final = WaitReason.RECORDS.value
"""From an activity: PostgreSQL is away. Worth waiting for."""
STORAGE: Final = WaitReason.STORAGE.value
"""From an activity: the object store is away, or a worker's disk is full. Worth waiting for."""
INTERNAL_ERROR: Final = Reason.INTERNAL_ERROR.value
"""From an activity: a defect, or an input that nothing can be done with. Not worth waiting for."""

SOURCE_REFUSED: Final = "source_refused"
"""From `await_source`: the source still does not work; the server runs the activity again."""

JOB_ENDED: Final = "job_ended"
"""From an update: the job it is meant for has ended; a successor may be running."""
JOB_CLOSING: Final = "job_closing"
"""From an update: the job is writing its end, and nothing can change it any more."""
