"""Encrypted values can be decrypted only with the same key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from autos.vault import DecryptionFailed, Vault


@given(st.text())
def test_encrypted_value_is_hidden_and_can_be_decrypted(text: str) -> None:
    vault = Vault(SecretStr("a" * 32))
    sealed = vault.seal(text)
    assert vault.open(sealed) == text
    assert len(text) < 8 or text.encode() not in sealed


def test_another_key_cannot_decrypt() -> None:
    sealed = Vault(SecretStr("a" * 32)).seal("whsec_synthetic")
    with pytest.raises(DecryptionFailed, match="AUTOS_SECRET_KEY"):
        Vault(SecretStr("b" * 32)).open(sealed)


def test_first_key_encrypts_and_all_keys_decrypt() -> None:
    """(S37) After a new key was put first, old values can still be decrypted."""
    old, new = "a" * 32, "b" * 32
    sealed = Vault(SecretStr(old)).seal("whsec_synthetic")
    both = Vault(SecretStr(f"{new}, {old}"))
    assert both.open(sealed) == "whsec_synthetic"
    assert Vault(SecretStr(new)).open(both.seal("later")) == "later"
    with pytest.raises(DecryptionFailed):
        Vault(SecretStr(old)).open(both.seal("later"))


@pytest.mark.parametrize("keys", ["", " ", "a,", ",a", "a,,b"])
def test_empty_key_is_rejected(keys: str) -> None:
    with pytest.raises(ValueError, match="AUTOS_SECRET_KEY"):
        Vault(SecretStr(keys))
