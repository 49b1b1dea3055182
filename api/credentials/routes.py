"""Routes of the source's credential, for administrators only: it is set here and never shown."""

from fastapi import APIRouter

from api.credentials.schemas import CredentialState, NewCredential, Wait, WokenJobs
from api.http.auth import require_admin
from api.problems import ENGINE_UNAVAILABLE, FORBIDDEN, responses
from api.services import Services, ServicesDependency
from autos.contracts.reasons import WaitReason
from autos.records import jobs
from autos.records.credentials import DatabaseCredentialStore
from autos.records.jobs import waits
from autos.source import Credential

router = APIRouter(
    prefix="/credentials/pdpj",
    tags=["credentials"],
    dependencies=[require_admin],
    responses=responses(FORBIDDEN),
)


@router.put(
    "",
    operation_id="set_credential",
    summary="Set the source's credential; jobs that wait for one resume immediately (admin)",
    responses=responses(ENGINE_UNAVAILABLE),
)
async def set_credential(new: NewCredential, services: ServicesDependency) -> WokenJobs:
    """The credential is stored, encrypted, before any job is resumed.

    A job that starts to wait during the request may be missed; it retries within seconds.
    """
    refresh_token = new.refresh_token.get_secret_value() if new.refresh_token else None
    await _store(services).put(Credential(new.access_token.get_secret_value(), refresh_token))
    async with services.records.transaction() as session:
        waiting = await jobs.waiting(session, WaitReason.CREDENTIAL)
    return WokenJobs(woken_jobs=await services.temporal.wake(waiting))


@router.get(
    "",
    operation_id="get_credential",
    summary="Retrieve the state of the source's credential (admin)",
)
async def get_credential(services: ServicesDependency) -> CredentialState:
    """Never returns the tokens. Sends no request to the source; workers record its refusals."""
    credential = await _store(services).load()
    async with services.records.transaction() as session:
        found = await waits(session)
    return CredentialState(
        is_set=credential is not None and credential.is_sendable,
        refreshable=credential is not None and credential.refresh_token is not None,
        expires_at=credential.expires_at if credential is not None else None,
        refused_since=credential.refused_since if credential is not None else None,
        waiting_jobs=sum(wait.jobs for wait in found if wait.waiting_for is WaitReason.CREDENTIAL),
        waits=[Wait.of(wait) for wait in found],
    )


def _store(services: Services) -> DatabaseCredentialStore:
    return DatabaseCredentialStore(services.records, services.settings)
