"""Encrypts what must be stored but never read from the database alone: credentials, secrets.

Authenticated encryption by the `cryptography` package's Fernet, with a key made from
`AUTOS_SECRET_KEY`. Not promised: protection from somebody who has both the key and the database.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr


class SealBroken(Exception):
    """A stored secret does not open: `AUTOS_SECRET_KEY` is not the one it was sealed with."""


class Vault:
    """Seals and opens short texts.

    Raises:
        ValueError: the key is empty.
    """

    def __init__(self, secret_key: SecretStr) -> None:
        if not secret_key.get_secret_value():
            raise ValueError("Set AUTOS_SECRET_KEY: an empty key would protect nothing.")
        # The key is long and random, not a password: one hash spreads it over Fernet's 32 bytes.
        digest = hashlib.sha256(secret_key.get_secret_value().encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(digest))

    def seal(self, text: str) -> bytes:
        """The text, encrypted and authenticated."""
        return self._fernet.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """The text that was sealed.

        Raises:
            SealBroken: another key sealed it, or the bytes were changed.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise SealBroken(
                "A stored secret cannot be opened: start with the AUTOS_SECRET_KEY it was stored "
                "with, or set the secret again."
            ) from None
