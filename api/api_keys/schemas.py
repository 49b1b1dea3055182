"""Request and response models of the API key routes."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field

from api.schemas import Answer, Example, Page, RequestBody, Timestamp, shown

API_KEY: Final[Example] = {
    "id": "0d6f5d0a-9d1f-4a7a-8c36-2f0d6f1b7e11",
    "name": "billing",
    "role": "client",
    "prefix": "autos_3fT9xQ",
    "is_active": True,
    "created_at": "2026-01-15T13:00:00Z",
    "expires_at": None,
    "revoked_at": None,
}


def _in_the_future(at: datetime) -> datetime:
    if at <= datetime.now(UTC):
        raise ValueError("the time must be in the future")
    return at


class NewApiKey(RequestBody):
    """An API key to create."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "billing", "role": "client"}]}
    )

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    role: Literal["client", "admin"] = "client"
    expires_at: Annotated[Timestamp, AfterValidator(_in_the_future)] | None = None


class ApiKey(Answer):
    """An API key, without the key itself."""

    model_config = shown(API_KEY)

    id: uuid.UUID
    name: str
    role: str
    prefix: str = Field(description="First characters of the key", examples=["autos_3fT9xQ"])
    is_active: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


CREATED_API_KEY: Final[Example] = API_KEY | {"key": "autos_3fT9xQ…"}


class CreatedApiKey(ApiKey):
    """A new API key, with the key itself. It is shown only once and not stored."""

    model_config = shown(CREATED_API_KEY)

    key: str


class ApiKeyPage(Page):
    """A page of API keys."""

    items: list[ApiKey]
