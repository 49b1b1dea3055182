"""What a request for a download carries."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, HttpUrl, TypeAdapter

from api.schemas import RequestBody, Whole

_address: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


def _web_address(text: str) -> str:
    _address.validate_python(text)
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("an address has no white space")
    return text


WebhookUrl = Annotated[
    str,
    Field(max_length=2048, examples=["https://example.org/hooks/autos"]),
    AfterValidator(_web_address),
]
"""Only the shape is checked here: http or https. The text is kept as it was given."""


class DownloadRequest(RequestBody):
    """How a process is to be downloaded. All members may be left out."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"webhook_url": "https://example.org/hooks/autos"}]}
    )

    webhook_url: WebhookUrl | None = Field(None, description="Told once when the job has ended")
    payload: Literal["full", "thin"] = Field(
        "full", description="What the webhook carries: everything, or ids and links to this API"
    )
    force_refresh: bool = Field(False, description="Read the metadata again, however fresh")
    max_age: Whole | None = Field(
        None, ge=0, le=31_536_000, description="Seconds a held copy of the metadata is fresh"
    )
