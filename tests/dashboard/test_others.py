"""The dashboard of a database that somebody else may have written, and on other addresses."""

import json
import urllib.request
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial

from bench.lib.dashboard import served
from tests.dashboard.dashboard import study_page
from tests.helpers.pictured import PicturedBench
from tests.helpers.simulated import Bench
from tuner.cli.main import main
from tuner.dashboard.notes import ended_note
from tuner.storage.artifacts import artifacts_of, system_attributes


def test_a_study_that_cannot_be_read_is_shown_as_it_is_stored(tmp_path: Path) -> None:
    bench = Bench(tmp_path, trials=2)
    bench.search()
    bench.study.set_user_attr("baseline", {"score": "high"})
    with served(bench.storage) as address:
        page = study_page(address)
    attributes = {entry["key"]: entry["value"] for entry in page["user_attrs"]}
    assert attributes["remark"] == "damaged: what the tuner stored here cannot be read"
    assert [trial["number"] for trial in page["trials"]] == list(range(len(bench.study.trials)))


def test_an_artifact_that_a_browser_would_run_is_a_download(tmp_path: Path) -> None:
    bench = PicturedBench(tmp_path, trials=1)
    bench.run()
    number = bench.study._study_id
    (sheet,) = (meta for trial, meta in artifacts_of(bench.study) if trial is None)
    name = f"artifacts:{sheet.artifact_id}"
    types = []
    for kind in ("image/png", "text/html", "image/svg+xml"):
        meta = json.loads(system_attributes(bench.study)[name]) | {"mimetype": kind}
        bench.storage.optuna.set_study_system_attr(number, name, json.dumps(meta))
        with (
            served(bench.storage) as address,
            urllib.request.urlopen(f"{address}/artifacts/{number}/{sheet.artifact_id}") as answer,
        ):
            types.append(answer.headers["Content-Type"])
    assert types == ["image/png", "application/octet-stream", "application/octet-stream"]


def test_a_reason_in_a_note_is_text() -> None:
    reason = "<img src=x onerror=alert(1)> ![x](http://example.org) `a`"
    trial = create_trial(state=TrialState.FAIL, user_attrs={"reason": reason})
    note = ended_note(trial)
    assert "<" not in note and "![" not in note.replace(r"\[", "")
    assert "&lt;img src=x onerror=alert(1)&gt;" in note


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)]
)
def test_on_an_address_that_others_reach_the_dashboard_warns_that_it_has_no_login(
    host: str,
    warned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hosts = []
    monkeypatch.setattr(
        "optuna_dashboard.run_server", lambda view, host, **options: hosts.append(host)
    )
    monkeypatch.setattr("tuner.dashboard.serve.check_address", lambda host, port: None)
    Bench(tmp_path)
    storage = f"sqlite:///{tmp_path / 'tuner.db'}"
    assert main(["dashboard", "--storage", storage, "--host", host]) == 0
    captured = capsys.readouterr()
    assert hosts == [host]
    assert ("whoever reaches 0.0.0.0 on port 8080 can read, change and delete" in captured.err) is (
        warned
    )
    assert f"on http://{f'[{host}]' if ':' in host else host}:8080/" in captured.out
