"""What the routes of health and diagnosis answer."""

from typing import Final

from pydantic import Field

from api.schemas import Answer, Example, shown

HEALTH: Final[Example] = {
    "ok": True,
    "parts": {"records": {"ok": True}, "engine": {"ok": True}, "store": {"ok": True}},
}


class PartHealth(Answer):
    """Whether one part can be reached."""

    ok: bool
    detail: str | None = Field(None, description="What is wrong with it")


class Health(Answer):
    """Whether this API process can do its work."""

    model_config = shown(HEALTH)

    ok: bool
    parts: dict[str, PartHealth] = Field(default_factory=dict)


class Check(Answer):
    """What one check found."""

    name: str
    ok: bool | None = Field(description="Null where it could not be looked at from the API")
    detail: str
    advice: str | None = Field(description="What to do")


class Diagnosis(Answer):
    """What was found."""

    model_config = shown(
        {
            "checks": [
                {
                    "name": "credential",
                    "ok": False,
                    "detail": "None is set.",
                    "advice": "Set a new one with `autos credentials set`.",
                }
            ]
        }
    )

    checks: list[Check]
