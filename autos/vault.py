"""Encrypts credentials and secrets, so that the database alone does not reveal them.

Fernet of the `cryptography` package (authenticated encryption), with keys derived from
`AUTOS_SECRET_KEY`. Of several, separated by commas, the first encrypts and all decrypt; put a new
key before the old one. Does not protect against someone who has both a key and the database.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr


class DecryptionFailed(Exception):
    """No key of `AUTOS_SECRET_KEY` decrypts a stored secret."""


class Vault:
    """Encrypts and decrypts short texts.

    Raises:
        ValueError: a key is empty.
    """

    def __init__(self, secret_key: SecretStr) -> None:
        keys = [key.strip() for key in secret_key.get_secret_value().split(",")]
        if not all(keys):
            raise ValueError("Set AUTOS_SECRET_KEY: an empty key would protect nothing.")
        self._fernet = MultiFernet([_fernet(key) for key in keys])

    def seal(self, text: str) -> bytes:
        """Encrypt and authenticate a text."""
        return self._fernet.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """The decrypted text.

        Raises:
            DecryptionFailed: it was encrypted with another key, or the bytes were changed.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise DecryptionFailed(
                "A stored secret cannot be opened: start with the AUTOS_SECRET_KEY it was stored "
                "with, or set the secret again."
            ) from None


def _fernet(key: str) -> Fernet:
    # One hash suffices for 32 bytes: the key is long and random, not a password.
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
