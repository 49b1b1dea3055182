"""Response models of the health and diagnosis routes."""

from pydantic import Field

from api.schemas import Answer, shown


class PartHealth(Answer):
    """Whether one part can be reached."""

    ok: bool
    detail: str | None = Field(None, description="Why it is not ok")


class Health(Answer):
    """Whether this API process can serve requests."""

    model_config = shown(
        {
            "ok": True,
            "parts": {"records": {"ok": True}, "engine": {"ok": True}, "store": {"ok": True}},
        }
    )

    ok: bool
    parts: dict[str, PartHealth] = Field(default_factory=dict)


class Check(Answer):
    """The result of one check."""

    name: str
    ok: bool | None = Field(description="Null if it could not be checked from the API")
    detail: str
    advice: str | None = Field(description="What to do")


class Diagnosis(Answer):
    """The results of all checks."""

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
