"""Request and response models of the credential routes. Tokens are never returned."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from api.schemas import Answer
from autos.contracts.reasons import Reason, WaitReason
from autos.source import read_token


def _usable(token: SecretStr) -> SecretStr:
    return SecretStr(read_token(token.get_secret_value()))


Token = Annotated[
    SecretStr,
    Field(
        min_length=1,
        max_length=16_384,
        description="Without `Bearer`. Surrounding white space is removed; white space within it, "
        "control characters and characters outside ASCII are refused",
        # For readers and generators of the schema; `read_token` validates.
        json_schema_extra={"pattern": r"^[ \t\r\n]*[!-~]+[ \t\r\n]*$"},
    ),
    AfterValidator(_usable),
]


class NewCredential(BaseModel):
    """Tokens from a login at the source. Autos itself does not log in."""

    access_token: Token
    refresh_token: Token | None = None


class Wait(Answer):
    """Running jobs that wait for the same thing, for the same reason."""

    waiting_for: WaitReason
    reason: Reason | None = Field(description="The source's refusal, if it answered")
    jobs: int
    since: datetime | None = Field(description="When the first of them started to wait")


class CredentialState(Answer):
    """The state of the credential, without its tokens."""

    is_set: bool = Field(description="A usable credential is set")
    refreshable: bool
    expires_at: datetime | None = Field(
        description="As the token itself says; null for an opaque token"
    )
    refused_since: datetime | None = Field(
        description="Since when the source refuses it; null if it has not refused it"
    )
    waiting_jobs: int = Field(description="Running jobs that wait for a credential")
    waits: list[Wait] = Field(
        description="All waits of running jobs, the one with the most jobs first. A source that "
        "answers 429 appears as `source`, `rate_limited`"
    )


class WokenJobs(Answer):
    """How many jobs were waiting for a credential and are now resumed."""

    woken_jobs: int
