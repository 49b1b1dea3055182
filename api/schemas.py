"""What the answers of all nouns have in common.

The answers themselves are in the `schemas.py` of each noun: plain pydantic models, which the CLI
reads, too. Members are only ever added, so clients must ignore new ones. The examples are
synthetic: the case, the people and the files are the sandbox's.
"""

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from autos.cnj import CaseNumber

NUMBER: Final = "9990002-86.2024.8.26.0100"
JOB_ID: Final = "019aa6f2-3c51-7d0e-8a55-0f6f3f0e9a11"
CASE_PATH: Final = "/api/v1/processes/99900028620248260100"

Example = dict[str, Any]


def shown(example: Example) -> ConfigDict:
    """The model configuration that gives a schema a whole example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


def _masked(number: object) -> object:
    return CaseNumber.parse(number).masked if isinstance(number, str) else number


masked: Final = BeforeValidator(_masked)
"""Accepts a case number bare or masked, and shows it masked."""
MaskedNumber = Annotated[str, masked, Field(examples=[NUMBER])]


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, row: object, **members: object) -> Self:
        """The answer about a row of the records, or another object.

        Args:
            row: has an attribute for every member that is not given.
            members: what the row does not have, or has otherwise than it is answered.
        """
        for name in cls.model_fields.keys() - members.keys():
            members[name] = getattr(row, name)
        return cls.model_validate(members, from_attributes=True)


class Page(Answer):
    """Base of lists: `next` is the `cursor` of the next page, null on the last one."""

    next: str | None = None
