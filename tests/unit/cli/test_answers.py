"""What this client reads is what the API answers."""

import pytest
from pydantic import BaseModel

from api import schemas
from cli import answers


@pytest.mark.parametrize(
    ("read", "answered", "newer"),
    [
        (answers.Started, schemas.JobStarted, set()),
        (answers.Status, schemas.Status, {"documents_per_second"}),
        (answers.Document, schemas.Document, set()),
        (answers.DocumentPage, schemas.DocumentPage, set()),
        (answers.ApiKey, schemas.ApiKey, set()),
        (answers.NewApiKey, schemas.CreatedApiKey, set()),
        (answers.ApiKeyPage, schemas.ApiKeyPage, set()),
    ],
)
def test_the_api_answers_every_field_that_is_read(
    read: type[BaseModel], answered: type[BaseModel], newer: set[str]
) -> None:
    assert set(read.model_fields) - set(answered.model_fields) <= newer
