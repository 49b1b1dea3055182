"""What this client reads is what the API answers."""

import pytest
from pydantic import BaseModel

from api import problems, schemas
from api.credentials import routes as credentials
from api.diagnosis import routes as diagnosis
from cli import answers

NEWER = {"doubt", "doubtful_documents", "waiting_until"}
"""What the service of another release answers; this client reads both."""


@pytest.mark.parametrize(
    ("read", "answered", "newer"),
    [
        (answers.Started, schemas.JobStarted, set()),
        (answers.Status, schemas.Status, {"documents_per_second"} | NEWER),
        (answers.Document, schemas.Document, NEWER),
        (answers.Page[answers.Document], schemas.DocumentPage, set()),
        (answers.Process, schemas.Process, set()),
        (answers.Job, schemas.Job, NEWER),
        (answers.ApiKey, schemas.ApiKey, set()),
        (answers.NewApiKey, schemas.CreatedApiKey, set()),
        (answers.Page[answers.ApiKey], schemas.ApiKeyPage, set()),
        (answers.CredentialState, credentials.CredentialState, set()),
        (answers.Check, diagnosis.Check, set()),
        (answers.Diagnosis, diagnosis.Diagnosis, set()),
        (answers.Problem, problems.ProblemDetails, set()),
    ],
)
def test_the_api_answers_every_field_that_is_read(
    read: type[BaseModel], answered: type[BaseModel], newer: set[str]
) -> None:
    assert set(read.model_fields) - set(answered.model_fields) <= newer
