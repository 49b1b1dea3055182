"""Request and response models of the reconciliation routes."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.schemas import JOB_ID, NUMBER, Answer, RequestBody, masked, shown
from autos.contracts.reconciliation import Kind, Step


class ReconciliationRequest(RequestBody):
    """Options of a reconciliation. All are optional."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: bool = Field(False, description="Report findings without repairing them")


class Finding(Answer):
    """One inconsistency."""

    id: str = Field(
        description="Id of the job, subscription, event or document; the key of an orphaned object",
        examples=[JOB_ID],
    )
    process_number: Annotated[str | None, masked] = Field(None, examples=[NUMBER])
    mended: bool = Field(description="It has been repaired")


class Findings(Answer):
    """All findings of one kind."""

    kind: Kind
    found: int
    mended: int = Field(description="How many of them have been repaired")
    first: list[Finding] = Field(description="The first 50 of them")


class Reconciliation(Answer):
    """The status of a reconciliation and, once it has ended, its report."""

    model_config = shown(
        {
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
    )

    id: str = Field(examples=[JOB_ID])
    status: Literal["pending", "processing", "completed", "failed"] = Field(
        description="`pending`: no worker has started it. `failed`: it was cancelled or terminated"
    )
    dry_run: bool | None = Field(None, description="Null until it has ended")
    left: int = Field(0, description="Number of findings that have not been repaired")
    findings: list[Findings] = Field(
        default_factory=list, description="By kind. Kinds without findings are left out"
    )
    unfinished: list[Step] = Field(
        default_factory=list,
        description="Steps that were given up because a part of the service did not answer",
    )

    @property
    def ended(self) -> bool:
        """True once the status is final."""
        return self.status in ("completed", "failed")
