"""A real run with `--json`: every line of standard output is a valid event."""

import json
from pathlib import Path

import pytest

from tests.cli.event_schema import events_of, names
from tests.runs.study import FLAGS, TRIPLE
from tuner.cli.main import main


def test_a_run_with_json_writes_events_to_standard_output_and_lines_to_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FLAGS, "--trials", "2", "--pictures", "none", "--json"]) == 0
    captured = capsys.readouterr()
    events = events_of(captured.out)
    kinds = names(events)
    assert kinds[0] == "study_started"
    assert kinds.count("baseline_batch") == 2
    assert kinds.index("baseline") < kinds.index("trial_started") < kinds.index("batch")
    assert kinds.count("trial_finished") == 2
    assert kinds.index("verification_started") < kinds.index("verification")
    assert kinds[-1] == "finished"
    assert {event["study"] for event in events} == {TRIPLE}
    last = events[-1]
    assert last["outcome"] == "reached"
    assert last["best"]["verified"] is not None
    assert last["cost_s"] > 0
    assert "Pareto front" in captured.err
    assert last["text"] in captured.err


def test_an_error_is_the_last_event_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FLAGS, "--device", "cuda:77", "--json"]) == 2
    captured = capsys.readouterr()
    (event,) = (json.loads(line) for line in captured.out.splitlines())
    assert (event["event"], event["outcome"]) == ("finished", "failed")
    assert "unknown device 'cuda:77'" in event["text"]
    assert captured.err.endswith(f"tuner: {event['text']}\n")
