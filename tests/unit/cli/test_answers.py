"""What this client reads is what the API answers."""

import pytest
from pydantic import BaseModel

from api import problems
from api.api_keys.schemas import ApiKey, ApiKeyPage, CreatedApiKey
from api.credentials.schemas import CredentialState
from api.diagnosis.schemas import Check, Diagnosis
from api.documents.schemas import Document, DocumentPage
from api.jobs.schemas import Job, JobStarted
from api.processes.schemas import Process
from api.status.schemas import Status
from cli import answers

NEWER = {"doubt", "doubtful_documents", "waiting_until"}
"""What the service of another release answers; this client reads both."""


@pytest.mark.parametrize(
    ("read", "answered", "newer"),
    [
        (answers.Started, JobStarted, set()),
        (answers.Status, Status, {"documents_per_second"} | NEWER),
        (answers.Document, Document, NEWER),
        (answers.Page[answers.Document], DocumentPage, set()),
        (answers.Process, Process, set()),
        (answers.Job, Job, NEWER),
        (answers.ApiKey, ApiKey, set()),
        (answers.NewApiKey, CreatedApiKey, set()),
        (answers.Page[answers.ApiKey], ApiKeyPage, set()),
        (answers.CredentialState, CredentialState, set()),
        (answers.Check, Check, set()),
        (answers.Diagnosis, Diagnosis, set()),
        (answers.Problem, problems.ProblemDetails, set()),
    ],
)
def test_the_api_answers_every_field_that_is_read(
    read: type[BaseModel], answered: type[BaseModel], newer: set[str]
) -> None:
    assert set(read.model_fields) - set(answered.model_fields) <= newer
