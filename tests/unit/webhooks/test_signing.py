"""Signatures: known vectors, the public package as the receiver, rotation, and key pairs."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from autos.contracts.deliveries import OVERLAP_SECONDS
from autos.vault import DecryptionFailed, Vault
from autos.webhooks.secrets import Scheme, Secrets
from autos.webhooks.signing import AsymmetricSigner, SymmetricSigner, headers, verified

BODY = '{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z","data":{"id":"é"}}'
VAULT = Vault(SecretStr("a key that is long enough for the tests"))


@pytest.fixture
def now() -> datetime:
    """The current time: receivers reject webhooks that are five minutes old."""
    return datetime.now(UTC)


def test_hmac_matches_the_reference_vector() -> None:
    """The vector of the Standard Webhooks libraries' own tests (msg_p5jXN8AQM9LWM0D4loKWxJek)."""
    signer = SymmetricSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_ed25519_matches_the_rfc_vector() -> None:
    """RFC 8032 §7.1 test 1: this seed has this public key, which is served as `whpk_`."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signer = AsymmetricSigner("whsk_" + base64.b64encode(seed).decode())
    assert signer.public_key == "whpk_" + base64.b64encode(public).decode()


@pytest.mark.parametrize(
    ("event_id", "body"),
    [
        ("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", BODY),
        ("evt_1", '{\n  "type": "contact.created"\n}'),
        ("evt_1", ""),
    ],
)
def test_signed_text_matches_the_specification(event_id: str, body: str, now: datetime) -> None:
    """`{id}.{timestamp}.{payload}`, verified with a key pair."""
    secrets = Secrets().with_new(Scheme.ASYMMETRIC, VAULT, now)
    made = headers(secrets.signers(VAULT, now), event_id, now, body)
    signature = made["webhook-signature"]
    assert signature.startswith("v1a,")
    (public,) = secrets.public_keys(VAULT, now)
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    signed = f"{event_id}.{int(now.timestamp())}.{body}".encode()
    key.verify(base64.b64decode(signature.removeprefix("v1a,")), signed)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signature.removeprefix("v1a,")), signed + b" ")


def test_public_package_verifies_the_signature(now: datetime) -> None:
    """F34."""
    secrets = (
        Secrets().with_new(Scheme.SYMMETRIC, VAULT, now).with_new(Scheme.ASYMMETRIC, VAULT, now)
    )
    made = headers(secrets.signers(VAULT, now), "evt_1", now, BODY)
    assert [part.split(",")[0] for part in made["webhook-signature"].split()] == ["v1", "v1a"]
    (secret,) = secrets.opened(VAULT, now)
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert Webhook(secret).verify(BODY, made)["type"] == "contact.created"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + " ", made)


def test_rotation_signs_with_both_secrets_for_a_day(now: datetime) -> None:
    before = Secrets().with_new(Scheme.SYMMETRIC, VAULT, now)
    after = before.with_new(Scheme.SYMMETRIC, VAULT, now)
    (old,), (new, kept) = before.opened(VAULT, now), after.opened(VAULT, now)
    assert kept == old != new
    made = headers(after.signers(VAULT, now), "evt_1", now, BODY)
    for secret in (old, new):
        Webhook(secret).verify(BODY, made)
    just_before = now + timedelta(seconds=OVERLAP_SECONDS - 1)
    assert after.opened(VAULT, just_before) == [new, old]
    assert after.opened(VAULT, now + timedelta(seconds=OVERLAP_SECONDS)) == [new]


def test_second_rotation_does_not_extend_the_first_overlap(now: datetime) -> None:
    later = now + timedelta(hours=20)
    secrets = Secrets().with_new(Scheme.SYMMETRIC, VAULT, now)
    first = secrets.opened(VAULT, now)[0]
    secrets = secrets.with_new(Scheme.SYMMETRIC, VAULT, now)
    secrets = secrets.with_new(Scheme.SYMMETRIC, VAULT, later)
    assert len(secrets.opened(VAULT, later)) == 3
    assert first not in secrets.opened(VAULT, now + timedelta(hours=24))


def test_frequent_rotations_keep_a_few_secrets_of_each_scheme(now: datetime) -> None:
    secrets = Secrets().with_new(Scheme.ASYMMETRIC, VAULT, now)
    for _ in range(9):
        secrets = secrets.with_new(Scheme.SYMMETRIC, VAULT, now)
    assert len(secrets.opened(VAULT, now)) == 5
    assert len(secrets.public_keys(VAULT, now)) == 1
    assert len(secrets.secrets) <= 7


def test_secret_shown_under_a_former_name_stays_shown(now: datetime) -> None:
    """The field was named `told`; otherwise the secret would be shown a second time."""
    stored = Secrets().with_new(Scheme.SYMMETRIC, VAULT, now).marked_shown().stored()
    [secret] = stored["secrets"]
    secret["told"] = secret.pop("shown")
    current = Secrets.load(stored).current(Scheme.SYMMETRIC)
    assert current is not None
    assert current.shown


def test_stored_secret_is_encrypted(now: datetime) -> None:
    secrets = (
        Secrets().with_new(Scheme.SYMMETRIC, VAULT, now).with_new(Scheme.ASYMMETRIC, VAULT, now)
    )
    stored = str(secrets.stored())
    assert "whsec_" not in stored
    assert "whsk_" not in stored
    assert secrets.opened(VAULT, now)[0] not in stored
    assert Secrets.load(secrets.stored()) == secrets
    with pytest.raises(DecryptionFailed):
        secrets.signers(Vault(SecretStr("another key")), now)


@pytest.mark.parametrize(
    "broken",
    [
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,not base64!"},
        {"webhook-signature": "v2,AAAA"},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) - 301)},
        {"webhook-id": "evt_2"},
    ],
)
def test_invalid_signature_is_rejected(broken: dict[str, str], now: datetime) -> None:
    secrets = Secrets().with_new(Scheme.SYMMETRIC, VAULT, now)
    made = headers(secrets.signers(VAULT, now), "evt_1", now, BODY)
    assert verified(secrets.opened(VAULT, now), made, BODY.encode())
    assert not verified(secrets.opened(VAULT, now), made | broken, BODY.encode())


def test_body_that_is_not_text_is_rejected(now: datetime) -> None:
    secrets = Secrets().with_new(Scheme.SYMMETRIC, VAULT, now)
    made = headers(secrets.signers(VAULT, now), "evt_1", now, BODY)
    assert not verified(secrets.opened(VAULT, now), made, b"\xff")
    assert not verified([], made, BODY.encode())
