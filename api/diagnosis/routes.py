"""A diagnosis by request: every part of the service is checked."""

from fastapi import APIRouter
from pydantic import Field

from api.diagnosis.checks import diagnose
from api.http.auth import require_admin
from api.problems import FORBIDDEN, responses
from api.schemas import Answer, shown
from api.services import ServicesDependency

router = APIRouter(tags=["operation"], dependencies=[require_admin], responses=responses(FORBIDDEN))


class Check(Answer):
    """What one check found."""

    name: str
    ok: bool | None = Field(description="Null where it could not be checked from the API")
    detail: str
    advice: str | None = Field(description="What to do")


class Diagnosis(Answer):
    """What was found."""

    model_config = shown(
        {
            "checks": [
                {
                    "name": "credential",
                    "ok": False,
                    "detail": "None is set.",
                    "advice": "Set a new one with `autos credentials set`.",
                }
            ]
        }
    )

    checks: list[Check]


@router.get(
    "/diagnosis",
    operation_id="diagnose",
    summary="Look at every part of the service, and say what is wrong (admin)",
)
async def get_diagnosis(services: ServicesDependency) -> Diagnosis:
    """Takes up to ten seconds where a part is away.

    One small object is written to the bucket and deleted again, and one request goes to the source.
    """
    return Diagnosis(
        checks=[
            Check(name=name, ok=found.ok, detail=found.detail, advice=found.advice)
            for name, found in (await diagnose(services)).items()
        ]
    )
