"""Routes of API keys, for administrators only."""

import uuid

from fastapi import APIRouter

from api.api_keys import schemas
from api.http import pagination
from api.http.auth import fingerprint, new_key, prefix, require_admin
from api.http.parameters import Cursor, Limit
from api.problems import API_KEY_UNKNOWN, FORBIDDEN, Problem, responses
from api.services import ServicesDependency
from autos.records import api_keys

router = APIRouter(tags=["api keys"], dependencies=[require_admin], responses=responses(FORBIDDEN))


@router.post(
    "/api-keys",
    operation_id="create_api_key",
    summary="Create an API key (admin); it is shown only once",
    status_code=201,
)
async def create_api_key(
    new: schemas.NewApiKey, services: ServicesDependency
) -> schemas.CreatedApiKey:
    """Only a hash of the key is stored. Replace a lost key with a new one."""
    key = new_key()
    async with services.records.transaction() as session:
        row = await api_keys.add(
            session,
            name=new.name,
            role=new.role,
            prefix=prefix(key),
            sha256=fingerprint(key),
            expires_at=new.expires_at,
        )
    return schemas.CreatedApiKey.of(row, key=key)


@router.get(
    "/api-keys",
    operation_id="list_api_keys",
    summary="List API keys, oldest first (admin)",
)
async def list_api_keys(
    services: ServicesDependency,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.ApiKeyPage:
    """Includes revoked and expired keys."""
    async with services.records.transaction() as session:
        rows = await api_keys.page(session, after=pagination.time_and_id(cursor), limit=limit + 1)
    listed, following = pagination.cut(rows, limit, lambda row: (row.created_at, row.id))
    return schemas.ApiKeyPage(items=[schemas.ApiKey.of(row) for row in listed], next=following)


@router.delete(
    "/api-keys/{key_id}",
    operation_id="revoke_api_key",
    summary="Revoke an API key (admin)",
    status_code=204,
    responses=responses(API_KEY_UNKNOWN),
)
async def revoke_api_key(key_id: uuid.UUID, services: ServicesDependency) -> None:
    """Takes effect immediately in this API process, within ten seconds in others. Safe to
    repeat."""
    async with services.records.transaction() as session:
        revoked = await api_keys.revoke(session, key_id)
    if revoked is None:
        raise Problem(API_KEY_UNKNOWN)
    services.keys.forget()
