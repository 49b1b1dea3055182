"""Recorded histories replay on the current workflow code, so running jobs survive a deploy."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from autos.contracts.download import DownloadProcess
from tests.replay.record import HISTORIES, SHAPES
from workflows.deliver_webhook import DeliverWebhookWorkflow
from workflows.download_process import DownloadProcessWorkflow
from workflows.reconcile import ReconcileWorkflow

KEPT = sorted(HISTORIES.glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
async def test_recorded_history_replays(path: Path) -> None:
    history = WorkflowHistory.from_json("download-process/replayed", json.loads(path.read_text()))
    replayer = Replayer(
        workflows=[DownloadProcessWorkflow, DeliverWebhookWorkflow, ReconcileWorkflow],
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(history)


def test_every_shape_has_a_recorded_history() -> None:
    assert {path.stem for path in KEPT} >= set(SHAPES)


def test_job_options_under_their_former_name_are_read() -> None:
    """Jobs that were started before 0.2 have the field `wishes`."""
    recorded = {"process_number": "9" * 20, "court": "TRF3", "wishes": {"batch_size": 7}}
    assert DownloadProcess.model_validate(recorded).job_options.batch_size == 7
