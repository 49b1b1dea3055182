"""The credential the source is asked with: set here, never shown; require_admin only."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from api.http.auth import require_admin
from api.problems import (
    ENGINE_UNAVAILABLE,
    FORBIDDEN,
    INVALID_REQUEST,
    RECORDS_UNAVAILABLE,
    UNAUTHORIZED,
    UNREADABLE_BODY,
    responses,
)
from api.schemas import Answer
from api.services import Services, ServicesDependency
from autos.contracts.states import Reason, WaitReason
from autos.records import jobs
from autos.records.credentials import DatabaseCredentialStore
from autos.records.jobs import waits
from autos.source import Credential, read_token

router = APIRouter(prefix="/credentials/pdpj", tags=["credentials"], dependencies=[require_admin])


def _usable(token: SecretStr) -> SecretStr:
    return SecretStr(read_token(token.get_secret_value()))


Token = Annotated[
    SecretStr,
    Field(
        min_length=1,
        max_length=16_384,
        description="Alone, without `Bearer`; white space around it is taken away, any within it, "
        "control characters and letters outside ASCII are refused",
        # For readers and generators of the schema; `read_token` is what decides.
        json_schema_extra={"pattern": r"^[ \t\r\n]*[!-~]+[ \t\r\n]*$"},
    ),
    AfterValidator(_usable),
]


class NewCredential(BaseModel):
    """Tokens from a login at the source; Autos itself never logs in."""

    access_token: Token
    refresh_token: Token | None = None


class Wait(Answer):
    """Running jobs that wait for the same thing for the same reason."""

    waiting_for: WaitReason
    reason: Reason | None = Field(description="What the source said, where it was asked")
    jobs: int
    since: datetime | None = Field(description="When the first of them began to wait")


class CredentialState(Answer):
    """What can be told of the credential without showing it, and how the source takes it."""

    is_set: bool = Field(description="There is one that a request can carry")
    refreshable: bool
    expires_at: datetime | None = Field(
        description="By the token's own word; null for an opaque one"
    )
    refused_since: datetime | None = Field(
        description="Since when the source refuses it; null while it takes it, or was not asked"
    )
    waiting_jobs: int = Field(description="Running jobs that wait for a credential")
    waits: list[Wait] = Field(
        description="All waits of running jobs, the one with the most jobs first: a source that "
        "answers 429 to all shows here as `source`, `rate_limited`"
    )


class WokenJobs(Answer):
    """How many jobs waited for a credential and try again now."""

    woken_jobs: int


@router.put(
    "",
    operation_id="set_credential",
    summary="Set the source's credential; jobs that wait for one go on at once (admin)",
    responses=responses(
        UNREADABLE_BODY,
        INVALID_REQUEST,
        UNAUTHORIZED,
        FORBIDDEN,
        RECORDS_UNAVAILABLE,
        ENGINE_UNAVAILABLE,
    ),
)
async def set_credential(new: NewCredential, services: ServicesDependency) -> WokenJobs:
    """The credential is stored, encrypted, before any job is told.

    A job that began to wait this very moment may be missed; it tries again by itself in seconds.
    """
    refresh_token = new.refresh_token.get_secret_value() if new.refresh_token else None
    await _store(services).put(Credential(new.access_token.get_secret_value(), refresh_token))
    async with services.records.transaction() as session:
        waiting = await jobs.waiting(session, WaitReason.CREDENTIAL)
    return WokenJobs(woken_jobs=await services.temporal.wake(waiting))


@router.get(
    "",
    operation_id="get_credential",
    summary="Whether a credential is set, how long it lasts, whether the source takes it (admin)",
    responses=responses(UNAUTHORIZED, FORBIDDEN, RECORDS_UNAVAILABLE),
)
async def get_credential(services: ServicesDependency) -> CredentialState:
    """Never the tokens. The source is not asked: workers write what it says."""
    credential = await _store(services).load()
    async with services.records.transaction() as session:
        found = await waits(session)
    return CredentialState(
        is_set=credential is not None and credential.is_sendable,
        refreshable=credential is not None and credential.refresh_token is not None,
        expires_at=credential.expires_at if credential is not None else None,
        refused_since=credential.refused_since if credential is not None else None,
        waiting_jobs=sum(wait.jobs for wait in found if wait.waiting_for is WaitReason.CREDENTIAL),
        waits=[
            Wait(waiting_for=wait.waiting_for, reason=wait.reason, jobs=wait.jobs, since=wait.since)
            for wait in found
        ],
    )


def _store(services: Services) -> DatabaseCredentialStore:
    return DatabaseCredentialStore(services.records, services.settings)
