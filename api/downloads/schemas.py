"""Request model of the download route."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, HttpUrl, TypeAdapter

from api.schemas import RequestBody, Whole

_url: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


def _check_url(text: str) -> str:
    _url.validate_python(text)
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("a URL has no white space")
    return text


WebhookUrl = Annotated[
    str,
    Field(max_length=2048, examples=["https://example.org/hooks/autos"]),
    AfterValidator(_check_url),
]
"""Only the form is checked here: http or https. The text is kept as it was sent."""


class DownloadRequest(RequestBody):
    """Options of a download. All are optional."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"webhook_url": "https://example.org/hooks/autos"}]}
    )

    webhook_url: WebhookUrl | None = Field(
        None, description="Receives one event when the job has ended"
    )
    payload: Literal["full", "thin"] = Field(
        "full", description="Content of the event: everything, or ids and links to this API"
    )
    force_refresh: bool = Field(
        False, description="Fetch the metadata again, even if the stored copy is fresh"
    )
    max_age: Whole | None = Field(
        None,
        ge=0,
        le=31_536_000,
        description="Seconds for which a stored copy of the metadata counts as fresh",
    )
