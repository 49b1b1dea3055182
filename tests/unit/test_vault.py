"""What is sealed opens with the same key only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from autos.vault import SealBroken, Vault


@given(st.text())
def test_what_was_sealed_opens_and_does_not_show(text: str) -> None:
    vault = Vault(SecretStr("a" * 32))
    sealed = vault.seal(text)
    assert vault.open(sealed) == text
    assert len(text) < 8 or text.encode() not in sealed


def test_another_key_does_not_open_it() -> None:
    sealed = Vault(SecretStr("a" * 32)).seal("whsec_synthetic")
    with pytest.raises(SealBroken, match="AUTOS_SECRET_KEY"):
        Vault(SecretStr("b" * 32)).open(sealed)
