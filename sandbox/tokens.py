"""Access and refresh tokens with the format and lifetimes of docs/source.md#tokens.

They look like the portal's JWTs (RS256), but are signed with a key of this process. Issued tokens
are kept in memory, so only the demo token survives a restart.
"""

import base64
import itertools
import json
import time
from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

DEMO_TOKEN: Final = "sandbox-demo-token"
"""Does not expire; valid until all tokens are revoked."""

LIFETIME_SECONDS: Final = 28_800
SESSION_SECONDS: Final = 43_200

_ISSUER: Final = "https://sso.cloud.pje.jus.br/auth/realms/pje"


class InvalidGrant(ValueError):
    """The refresh token is unknown or was used, or its session has expired."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens in a response of the token endpoint; times in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    refresh_expires_in: int


@dataclass(slots=True)
class _Access:
    expires_at: float
    requests_left: int | None


@dataclass(frozen=True, slots=True)
class _Session:
    login_at: float
    lifetime: float


class TokenIssuer:
    """Issues, checks, refreshes and revokes tokens. Its clock can be set."""

    def __init__(self, demo_token: str = DEMO_TOKEN) -> None:
        self.clock_offset = 0.0
        """Seconds by which the clock is ahead of the real time."""
        self._demo_token = demo_token
        self._demo_valid = True
        self._access: dict[str, _Access] = {}
        self._sessions: dict[str, _Session] = {}
        self._serial = itertools.count(1)

    def now(self) -> float:
        """Seconds since 1970 by the issuer's clock."""
        return time.time() + self.clock_offset

    def login(self, lifetime: float = LIFETIME_SECONDS, max_requests: int | None = None) -> Grant:
        """Start a session; `max_requests` limits the requests with its access token."""
        return self._issue(_Session(self.now(), lifetime), max_requests)

    def refresh(self, refresh_token: str) -> Grant:
        """Issue new tokens for a session; the refresh token becomes invalid.

        Raises:
            InvalidGrant: the refresh token is not valid.
        """
        session = self._sessions.pop(refresh_token, None)
        if session is None or self.now() >= session.login_at + SESSION_SECONDS:
            raise InvalidGrant
        return self._issue(session, None)

    def accepts(self, token: str) -> bool:
        """Count a request with the token; False if the token is not valid."""
        if self._demo_valid and token == self._demo_token:
            return True
        access = self._access.get(token)
        if access is None or self.now() >= access.expires_at:
            return False
        if access.requests_left is not None:
            if access.requests_left == 0:
                return False
            access.requests_left -= 1
        return True

    def revoke(self, token: str | None) -> None:
        """Revoke one access token; or all tokens, including the demo token and refresh tokens."""
        if token is None:
            self._access.clear()
            self._sessions.clear()
        else:
            self._access.pop(token, None)
        if token in (None, self._demo_token):
            self._demo_valid = False

    def restore(self) -> None:
        """Reset the clock, and make the demo token valid again."""
        self.clock_offset = 0.0
        self._demo_valid = True

    def _issue(self, session: _Session, max_requests: int | None) -> Grant:
        now = self.now()
        ends_at = session.login_at + SESSION_SECONDS
        expires_at = min(now + session.lifetime, ends_at)
        refresh_expires_at = min(now + LIFETIME_SECONDS, ends_at)
        access_token = self._sign("Bearer", session.login_at, expires_at)
        refresh_token = self._sign("Refresh", session.login_at, refresh_expires_at)
        self._access[access_token] = _Access(expires_at, max_requests)
        self._sessions[refresh_token] = session
        return Grant(
            access_token,
            refresh_token,
            expires_in=int(expires_at - now),
            refresh_expires_in=int(refresh_expires_at - now),
        )

    def _sign(self, kind: str, login_at: float, expires_at: float) -> str:
        claims = {
            "exp": int(expires_at),
            "iat": int(self.now()),
            "auth_time": int(login_at),
            "jti": f"00000000-0000-4000-8000-{next(self._serial):012}",
            "iss": _ISSUER,
            "aud": ["broker", "account"],
            "sub": "00000000-0000-4000-8000-000000000000",
            "typ": kind,
            "azp": "portalexterno-frontend",
            "realm_access": {"roles": [f"papel-inventado-{i}" for i in range(40)]},
            "scope": "openid",
            "name": "Pessoa Inventada",
            "preferred_username": "00000000191",
            "email": "pessoa@exemplo.invalid",
            "corporativo": [{"seq_usuario": 1, "sig_tipo_cargo": "ADV", "seq_perfil": 1}],
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": "chave-inventada"}
        signed = f"{_part(header)}.{_part(claims)}"
        signature = _key().sign(signed.encode(), padding.PKCS1v15(), SHA256())
        return f"{signed}.{_base64(signature)}"


@cache
def _key() -> rsa.RSAPrivateKey:
    # Generated for the first token, because it takes longer than the rest of the start.
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def _part(value: object) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
