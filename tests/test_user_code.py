"""Functions in a user's file: what they return, and the line when something is wrong."""

from pathlib import Path

import pytest

from tests.helpers.pipelines import tiny
from tuner.errors import UsageError
from tuner.user_code import arguments_of, pipeline_of, returned

CODE = """
import neighbour

def make_call():
    import neighbour_of_the_call
    return {"strength": neighbour.STRENGTH}

def broken():
    raise RuntimeError("no disk\\nleft")

def leaves():
    raise SystemExit(3)

def nothing():
    pass
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "neighbour.py").write_text("STRENGTH = 0.5\n")
    (tmp_path / "neighbour_of_the_call.py").write_text("")
    path = tmp_path / "production.py"
    path.write_text(CODE)
    return str(path)


def test_a_function_may_import_the_files_beside_it(file: str) -> None:
    assert arguments_of(f"{file}:make_call") == {"strength": 0.5}


def test_objects_are_taken_as_they_are() -> None:
    assert pipeline_of(tiny("sd")) is tiny("sd")
    assert arguments_of({"strength": 0.5}) == {"strength": 0.5}
    assert arguments_of(None) == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("make_cal", "has no function 'make_cal'; did you mean make_call?"),
        ("quite_other", "has no function 'quite_other'; it has make_call, broken, leaves, nothing"),
        ("broken", r"production.py: broken\(\) failed: RuntimeError: no disk left$"),
        ("leaves", r"leaves\(\) failed: SystemExit: 3$"),
    ],
)
def test_a_function_that_is_missing_or_fails_is_one_line(file: str, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        returned(f"{file}:{name}", "call")
    assert "\n" not in str(raised.value)
    assert raised.value.key == ("call",)


def test_what_is_no_pipeline_or_no_dict_of_arguments_is_refused(file: str) -> None:
    with pytest.raises(UsageError, match="nothing returned None; a study needs a pipeline"):
        pipeline_of(f"{file}:nothing")
    with pytest.raises(UsageError, match="pipeline is a dict; a study needs a pipeline"):
        pipeline_of({})
    with pytest.raises(UsageError, match="nothing returned None; it must return a dict"):
        arguments_of(f"{file}:nothing")


def test_a_file_that_is_missing_or_cannot_be_imported_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^pipeline: there is no file no\.py$"):
        pipeline_of("no.py:make")
    (tmp_path / "bad.py").write_text("import no_such_module_at_all\n")
    with pytest.raises(UsageError, match=r"bad\.py cannot be imported: ModuleNotFoundError: No"):
        pipeline_of(f"{tmp_path / 'bad.py'}:make")
