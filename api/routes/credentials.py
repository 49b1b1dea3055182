"""The credential the source is asked with: set here, never shown; administrators only."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, SecretStr

from api.auth import administrators
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
from autos.contracts.states import WaitReason
from autos.records import jobs
from autos.records.credentials import DatabaseCredentialStore
from autos.source import Credential

router = APIRouter(prefix="/credentials/pdpj", tags=["credentials"], dependencies=[administrators])

Token = Annotated[SecretStr, Field(min_length=1, max_length=16_384)]


class NewCredential(BaseModel):
    """Tokens from a login at the source; Autos itself never logs in."""

    access_token: Token
    refresh_token: Token | None = None


class CredentialState(Answer):
    """What can be told of the credential without showing it."""

    is_set: bool
    refreshable: bool
    expires_at: datetime | None = Field(
        description="By the token's own word; null for an opaque one"
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
    return WokenJobs(woken_jobs=await services.engine.wake(waiting))


@router.get(
    "",
    operation_id="get_credential",
    summary="Whether a credential is set and how long it lasts (admin)",
    responses=responses(UNAUTHORIZED, FORBIDDEN, RECORDS_UNAVAILABLE),
)
async def get_credential(services: ServicesDependency) -> CredentialState:
    """Never the tokens."""
    credential = await _store(services).load()
    return CredentialState(
        is_set=credential is not None and bool(credential.access_token),
        refreshable=credential is not None and credential.refresh_token is not None,
        expires_at=credential.expires_at if credential is not None else None,
    )


def _store(services: Services) -> DatabaseCredentialStore:
    return DatabaseCredentialStore(services.records, services.settings)
