"""Temporal servers for workflow tests: a real dev server, and one that skips time."""

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from autos.contracts.temporal_names import SEARCH_ATTRIBUTES
from workflows import activity_calls

BINARIES = Path(sys.executable).parent
DEV_SERVER_FLAGS = [
    "--dynamic-config-value",
    "history.transferProcessorMaxPollRPS=1000",
    "--dynamic-config-value",
    "history.MaxBufferedQueryCount=100",
    # As in the embedded stack; fairness holds within a partition.
    "--dynamic-config-value",
    "matching.enableFairness=true",
    "--dynamic-config-value",
    "matching.numTaskqueueReadPartitions=1",
    "--dynamic-config-value",
    "matching.numTaskqueueWritePartitions=1",
    "--ui-disable-news-fetch",
]


@pytest.fixture(scope="package")
async def dev_server() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal dev server, shared by the workflow tests of a process."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(BINARIES / "temporal"),
        dev_server_extra_args=DEV_SERVER_FLAGS,
        search_attributes=SEARCH_ATTRIBUTES,
    ) as environment:
        yield environment


@pytest.fixture
async def skipping_server() -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping Temporal server; one per test, because its clock is global."""
    async with await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter,
        test_server_existing_path=str(BINARIES / "temporal-test-server"),
    ) as environment:
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=environment.client.namespace,
                search_attributes={
                    key.name: IndexedValueType.ValueType(key.indexed_value_type)
                    for key in SEARCH_ATTRIBUTES
                },
            )
        )
        yield environment


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """How long a batch waits for records or store in this test: six hours instead of seven days.

    For an activity that fails at every retry: in seven days there are 5,000 of them.
    """
    patience = timedelta(hours=6)
    monkeypatch.setattr(activity_calls, "PATIENCE", patience)
    return patience
