"""Route of the diagnosis: checks every part of the service. For administrators only."""

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
    summary="Check every part of the service (admin)",
)
async def get_diagnosis(services: ServicesDependency) -> Diagnosis:
    """Takes up to ten seconds if a part does not answer.

    Writes a small object to the bucket and deletes it, and sends one request to the source.
    """
    found = await diagnose(services)
    return Diagnosis(checks=[Check.of(finding, name=name) for name, finding in found.items()])
