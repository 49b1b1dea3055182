"""A diagnosis by request: what the service finds when it looks at its parts."""

from fastapi import APIRouter

from api.diagnosis.checks import diagnose
from api.diagnosis.schemas import Check, Diagnosis
from api.http.auth import require_admin
from api.problems import FORBIDDEN, responses
from api.services import ServicesDependency

router = APIRouter(tags=["operation"], dependencies=[require_admin], responses=responses(FORBIDDEN))


@router.get(
    "/diagnosis",
    operation_id="diagnose",
    summary="Look at every part of the service, and say what is wrong (admin)",
)
async def get_diagnosis(services: ServicesDependency) -> Diagnosis:
    """Takes up to ten seconds where a part is away.

    One small object is written to the bucket and deleted again, and the source is asked once.
    """
    return Diagnosis(
        checks=[
            Check(name=name, ok=found.ok, detail=found.detail, advice=found.advice)
            for name, found in (await diagnose(services)).items()
        ]
    )
