"""What the routes of reconciliations take and answer."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from api.schemas import JOB_ID, NUMBER, Answer, Example, RequestBody, masked, shown
from autos.contracts.reconciliation import Kind, Step

RECONCILIATION: Final[Example] = {
    "id": JOB_ID,
    "status": "completed",
    "dry_run": False,
    "left": 0,
    "findings": [
        {
            "kind": "delivery_stopped",
            "found": 1,
            "mended": 1,
            "first": [
                {
                    "id": "evt_5b1f5d5e0a013d0f2b1c7c0a5a559d2e",
                    "process_number": None,
                    "mended": True,
                }
            ],
        }
    ],
    "unfinished": [],
}


class ReconciliationRequest(RequestBody):
    """How to reconcile. All members may be left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: bool = Field(False, description="Only report, and mend nothing")


class Finding(Answer):
    """One thing that was wrong."""

    id: str = Field(
        description="Of the job, subscription, event or document; an orphaned object's key",
        examples=[JOB_ID],
    )
    process_number: Annotated[str | None, masked] = Field(None, examples=[NUMBER])
    mended: bool


class Findings(Answer):
    """What was found of one kind."""

    kind: Kind
    found: int
    mended: int
    first: list[Finding] = Field(description="The first 50 of them")


class Reconciliation(Answer):
    """How far a reconciliation is, and once it has ended what it found."""

    model_config = shown(RECONCILIATION)

    id: str = Field(examples=[JOB_ID])
    status: Literal["pending", "processing", "completed", "failed"] = Field(
        description="`pending`: no worker has taken it up. `failed`: it was ended from outside"
    )
    dry_run: bool | None = Field(None, description="Null before the end")
    left: int = Field(0, description="How much was found and not mended")
    findings: list[Findings] = Field(
        default_factory=list, description="By kind; a kind that is not there was not found"
    )
    unfinished: list[Step] = Field(
        default_factory=list, description="What could not be compared: a part did not answer"
    )
