"""What the routes of the source's credential take and answer. No token is ever answered."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from api.schemas import Answer
from autos.contracts.states import Reason, WaitReason
from autos.source import read_token


def _usable(token: SecretStr) -> SecretStr:
    return SecretStr(read_token(token.get_secret_value()))


Token = Annotated[
    SecretStr,
    Field(
        min_length=1,
        max_length=16_384,
        description="Alone, without `Bearer`; white space around it is taken away, any within it, "
        "control characters and letters outside ASCII are refused",
        # For readers and generators of the schema; `read_token` is what decides.
        json_schema_extra={"pattern": r"^[ \t\r\n]*[!-~]+[ \t\r\n]*$"},
    ),
    AfterValidator(_usable),
]


class NewCredential(BaseModel):
    """Tokens from a login at the source; Autos itself never logs in."""

    access_token: Token
    refresh_token: Token | None = None


class Wait(Answer):
    """Running jobs that wait for the same thing for the same reason."""

    waiting_for: WaitReason
    reason: Reason | None = Field(description="What the source said, where it was asked")
    jobs: int
    since: datetime | None = Field(description="When the first of them began to wait")


class CredentialState(Answer):
    """What can be told of the credential without showing it, and how the source takes it."""

    is_set: bool = Field(description="There is one that a request can carry")
    refreshable: bool
    expires_at: datetime | None = Field(
        description="By the token's own word; null for an opaque one"
    )
    refused_since: datetime | None = Field(
        description="Since when the source refuses it; null while it takes it, or was not asked"
    )
    waiting_jobs: int = Field(description="Running jobs that wait for a credential")
    waits: list[Wait] = Field(
        description="All waits of running jobs, the one with the most jobs first: a source that "
        "answers 429 to all shows here as `source`, `rate_limited`"
    )


class WokenJobs(Answer):
    """How many jobs waited for a credential and try again now."""

    woken_jobs: int
