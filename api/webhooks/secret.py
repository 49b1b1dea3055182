"""Routes of the secret that signs a key's webhooks.

A secret is shown once: when it is created (by its owner, or by the first webhook and then shown on
request), and at each rotation. A lost secret is rotated; the old one signs for another day.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Depends

from api.http.auth import Caller, CallerDependency, authenticated
from api.problems import Problem, ProblemType, responses
from api.services import Services, ServicesDependency
from api.webhooks.schemas import RevealedSecret, SecretState, SigningSecret
from autos.contracts.deliveries import OVERLAP_SECONDS
from autos.records import api_keys
from autos.records.models import ApiKey, now
from autos.vault import Vault
from autos.webhooks.secrets import Scheme, Secrets

SECRET_ALREADY_SHOWN: Final = ProblemType(
    "webhook-secret-told",
    409,
    "The secret has already been shown",
    "Rotate it to get a new one: the old one signs for another day.",
)

router = APIRouter(prefix="/secret", dependencies=[authenticated])


async def _vault(services: ServicesDependency) -> Vault:
    return Vault(services.settings.secret_key)


VaultDependency = Annotated[Vault, Depends(_vault)]


@router.get(
    "",
    operation_id="get_webhook_secret",
    summary="Retrieve the state of the signing secret",
)
async def get_secret(
    services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> SecretState:
    """Never returns the secret itself. The public keys may be shared."""
    async with services.records.transaction() as session:
        secrets = Secrets.load(await api_keys.webhook_secrets(session, caller.id))
    return _state(secrets, vault)


@router.post(
    "",
    operation_id="create_webhook_secret",
    summary="Create the signing secret, or reveal the one that the first webhook created",
    status_code=201,
    responses=responses(SECRET_ALREADY_SHOWN),
)
async def create_secret(
    services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> RevealedSecret:
    """The secret is shown once. Rotate a lost one."""
    async with _locked_key(services, caller) as row:
        secrets = Secrets.load(row.webhook_secrets)
        current = secrets.current(Scheme.SYMMETRIC)
        if current is None:
            secrets = secrets.with_new(Scheme.SYMMETRIC, vault, now())
        elif current.shown:
            raise Problem(SECRET_ALREADY_SHOWN)
        return _reveal(row, secrets, vault)


@router.post(
    "/rotate",
    operation_id="rotate_webhook_secret",
    summary="Rotate the signing secret; for a day webhooks carry both signatures",
    status_code=201,
)
async def rotate_secret(
    services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> RevealedSecret:
    """Also rotates the key pair, if there is one."""
    async with _locked_key(services, caller) as row:
        secrets = Secrets.load(row.webhook_secrets)
        if secrets.current(Scheme.ASYMMETRIC) is not None:
            secrets = secrets.with_new(Scheme.ASYMMETRIC, vault, now())
        return _reveal(row, secrets.with_new(Scheme.SYMMETRIC, vault, now()), vault)


@router.put(
    "/public-key",
    operation_id="enable_webhook_public_key",
    summary="Also sign with Ed25519 (v1a), and return the public key",
)
async def enable_public_key(
    services: ServicesDependency, caller: CallerDependency, vault: VaultDependency
) -> SecretState:
    """`v1a` signatures are sent beside `v1`, not in place of it. Safe to repeat."""
    async with _locked_key(services, caller) as row:
        secrets = Secrets.load(row.webhook_secrets)
        if secrets.current(Scheme.ASYMMETRIC) is None:
            secrets = secrets.with_new(Scheme.ASYMMETRIC, vault, now())
            row.webhook_secrets = secrets.stored()
    return _state(secrets, vault)


@router.delete(
    "/public-key",
    operation_id="disable_webhook_public_key",
    summary="Sign with v1 only",
    status_code=204,
)
async def disable_public_key(services: ServicesDependency, caller: CallerDependency) -> None:
    """Takes effect at once, without an overlap. Safe to repeat."""
    async with _locked_key(services, caller) as row:
        row.webhook_secrets = Secrets.load(row.webhook_secrets).without(Scheme.ASYMMETRIC).stored()


@asynccontextmanager
async def _locked_key(services: Services, caller: Caller) -> AsyncIterator[ApiKey]:
    async with services.records.transaction() as session:
        yield await api_keys.lock(session, caller.id)


def _reveal(row: ApiKey, secrets: Secrets, vault: Vault) -> RevealedSecret:
    row.webhook_secrets = secrets.marked_shown().stored()
    [secret, *_] = secrets.opened(vault, now())
    return RevealedSecret.of(_state(secrets, vault), secret=secret)


def _state(secrets: Secrets, vault: Vault) -> SecretState:
    at = now()
    in_force = [secret for scheme in Scheme for secret in secrets.in_force(scheme, at)]
    return SecretState(
        secrets=[SigningSecret.of(secret) for secret in in_force],
        public_keys=secrets.public_keys(vault, at),
        overlap_seconds=OVERLAP_SECONDS,
    )
