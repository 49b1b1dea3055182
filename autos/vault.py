"""Encrypts what must be stored but never read from the database alone: credentials, secrets.

Authenticated encryption by the `cryptography` package's Fernet, with keys made from
`AUTOS_SECRET_KEY`. It may hold several, separated by commas: the first seals, all of them open, so
that a new key can be put in front of the old one. Not promised: protection from somebody who has
both a key and the database.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr


class SealBroken(Exception):
    """A stored secret does not open: no key of `AUTOS_SECRET_KEY` is the one it was sealed with."""


class Vault:
    """Seals and opens short texts.

    Raises:
        ValueError: there is no key.
    """

    def __init__(self, secret_key: SecretStr) -> None:
        keys = [key.strip() for key in secret_key.get_secret_value().split(",")]
        if not all(keys):
            raise ValueError("Set AUTOS_SECRET_KEY: an empty key would protect nothing.")
        self._fernet = MultiFernet([_fernet(key) for key in keys])

    def seal(self, text: str) -> bytes:
        """The text, encrypted and authenticated."""
        return self._fernet.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """The text that was sealed.

        Raises:
            SealBroken: a key that is not held sealed it, or the bytes were changed.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise SealBroken(
                "A stored secret cannot be opened: start with the AUTOS_SECRET_KEY it was stored "
                "with, or set the secret again."
            ) from None


def _fernet(key: str) -> Fernet:
    # The key is long and random, not a password: one hash spreads it over Fernet's 32 bytes.
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
