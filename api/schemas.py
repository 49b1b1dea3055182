"""What the answers of all nouns have in common.

The answers themselves are in the `schemas.py` of each noun: plain pydantic models, which the CLI
reads, too. Members are only ever added, so clients must ignore new ones. The examples are
synthetic: the case, the people and the files are the sandbox's.
"""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

NUMBER: Final = "9990002-86.2024.8.26.0100"
JOB_ID: Final = "019aa6f2-3c51-7d0e-8a55-0f6f3f0e9a11"
CASE_PATH: Final = "/api/v1/processes/99900028620248260100"

Example = dict[str, Any]


def shown(example: Example) -> ConfigDict:
    """The model configuration that gives a schema a whole example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


class Page(Answer):
    """Base of lists: `next` is the `cursor` of the next page, null on the last one."""

    next: str | None = None
