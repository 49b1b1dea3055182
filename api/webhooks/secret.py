"""The secret that signs a key's webhooks: state, first telling, rotation, and the public keys.

A secret is told once: when it is created (or, if the first webhook created it, when its owner first
asks), and at each rotation. Whoever lost it rotates it; the old one signs on for a day.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter

from api.http.api_keys import Caller
from api.http.auth import CallerDependency, authenticated
from api.problems import RECORDS_UNAVAILABLE, UNAUTHORIZED, Problem, responses
from api.services import Services, ServicesDependency
from api.webhooks.answers import WEBHOOK_SECRET_TOLD, VaultDependency, secret_state
from api.webhooks.schemas import SecretState, ToldSecret
from autos.records import webhook_secrets
from autos.records.models import ApiKey, now
from autos.vault import Vault
from autos.webhooks.secrets import Scheme, Secrets

router = APIRouter(prefix="/secret", dependencies=[authenticated])
_PROBLEMS = responses(UNAUTHORIZED, RECORDS_UNAVAILABLE)


@router.get(
    "", operation_id="get_webhook_secret", summary="What signs my webhooks", responses=_PROBLEMS
)
async def get_secret(
    services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> SecretState:
    """Never the secret itself; the public keys are for everybody."""
    async with services.records.transaction() as session:
        secrets = Secrets.load(await webhook_secrets.read(session, caller.id))
    return secret_state(secrets, vault, now())


@router.post(
    "",
    operation_id="create_webhook_secret",
    summary="Create my secret, or be told the one that the first webhook created",
    status_code=201,
    responses=responses(UNAUTHORIZED, WEBHOOK_SECRET_TOLD, RECORDS_UNAVAILABLE),
)
async def create_secret(
    services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> ToldSecret:
    """It is told this once; a lost one is rotated."""
    async with _held(services, caller) as row:
        secrets = Secrets.load(row.webhook_secrets)
        current = secrets.current(Scheme.SYMMETRIC)
        if current is None:
            secrets = secrets.with_new(Scheme.SYMMETRIC, vault, now())
        elif current.shown:
            raise Problem(WEBHOOK_SECRET_TOLD)
        return _tell(row, secrets, vault)


@router.post(
    "/rotate",
    operation_id="rotate_webhook_secret",
    summary="Replace my secret; for a day webhooks carry both signatures",
    status_code=201,
    responses=_PROBLEMS,
)
async def rotate_secret(
    services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> ToldSecret:
    """The key pair is replaced too, if there is one."""
    async with _held(services, caller) as row:
        secrets = Secrets.load(row.webhook_secrets)
        if secrets.current(Scheme.ASYMMETRIC) is not None:
            secrets = secrets.with_new(Scheme.ASYMMETRIC, vault, now())
        return _tell(row, secrets.with_new(Scheme.SYMMETRIC, vault, now()), vault)


@router.put(
    "/public-key",
    operation_id="enable_webhook_public_key",
    summary="Sign with Ed25519 (v1a) as well, and show the public key",
    responses=_PROBLEMS,
)
async def enable_public_key(
    services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> SecretState:
    """Beside `v1`, not in its place. Safe to repeat."""
    async with _held(services, caller) as row:
        secrets = Secrets.load(row.webhook_secrets)
        if secrets.current(Scheme.ASYMMETRIC) is None:
            secrets = secrets.with_new(Scheme.ASYMMETRIC, vault, now())
            row.webhook_secrets = secrets.stored()
    return secret_state(secrets, vault, now())


@router.delete(
    "/public-key",
    operation_id="disable_webhook_public_key",
    summary="Sign with v1 only",
    status_code=204,
    responses=_PROBLEMS,
)
async def disable_public_key(services: ServicesDependency, caller: CallerDependency) -> None:
    """At once and without an overlap. Safe to repeat."""
    async with _held(services, caller) as row:
        row.webhook_secrets = Secrets.load(row.webhook_secrets).without(Scheme.ASYMMETRIC).stored()


@asynccontextmanager
async def _held(services: Services, caller: Caller) -> AsyncIterator[ApiKey]:
    async with services.records.transaction() as session:
        yield await webhook_secrets.hold(session, caller.id)


def _tell(row: ApiKey, secrets: Secrets, vault: Vault) -> ToldSecret:
    row.webhook_secrets = secrets.marked_shown().stored()
    state = secret_state(secrets, vault, now())
    return ToldSecret(**state.model_dump(), secret=secrets.opened(vault, now())[0])
