"""What is sealed opens with the same key only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from autos.vault import DecryptionFailed, Vault


@given(st.text())
def test_what_was_sealed_opens_and_does_not_show(text: str) -> None:
    vault = Vault(SecretStr("a" * 32))
    sealed = vault.seal(text)
    assert vault.open(sealed) == text
    assert len(text) < 8 or text.encode() not in sealed


def test_another_key_does_not_open_it() -> None:
    sealed = Vault(SecretStr("a" * 32)).seal("whsec_synthetic")
    with pytest.raises(DecryptionFailed, match="AUTOS_SECRET_KEY"):
        Vault(SecretStr("b" * 32)).open(sealed)


def test_of_several_keys_the_first_seals_and_all_open() -> None:
    """(S37) A new key is put in front; what the old one sealed still opens."""
    old, new = "a" * 32, "b" * 32
    sealed = Vault(SecretStr(old)).seal("whsec_synthetic")
    both = Vault(SecretStr(f"{new}, {old}"))
    assert both.open(sealed) == "whsec_synthetic"
    assert Vault(SecretStr(new)).open(both.seal("later")) == "later"
    with pytest.raises(DecryptionFailed):
        Vault(SecretStr(old)).open(both.seal("later"))


@pytest.mark.parametrize("keys", ["", " ", "a,", ",a", "a,,b"])
def test_an_empty_key_protects_nothing(keys: str) -> None:
    with pytest.raises(ValueError, match="AUTOS_SECRET_KEY"):
        Vault(SecretStr(keys))
