"""Where a study file's mistake is said to be, and what would work."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.errors import UsageError
from tuner.study_files import KEYS, locating, read_specs


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def message(text: str, **flags: Any) -> str:
    """The error of a study file."""
    path = Path("study.toml")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_specs(path, flags)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("# comment\nnum_sample = 3\n", "study.toml:2: unknown key 'num_sample'; did you mean num"),
        ("\n[knob.tome]\nratio = 1", "study.toml:2: unknown key 'knob'; did you mean knobs?"),
        ("seed = 1\nsteps = 0\n", "study.toml:2: steps must be a whole number of at least 1"),
        ('pipe = [\n"SD1.5",\n"SD4"]', "study.toml:3: unknown model 'SD4'; known: Flux, mini"),
        ('steps = 20\nsched = "DIM"', "study.toml:2: unknown scheduler 'DIM'; known: DDIM"),
        ('\nsampler = "gps"', "study.toml:2: unknown sampler 'gps'; known: frontier, tpe"),
        ('\naim = "fast"', "study.toml:2: unknown aim 'fast'; known: max, front"),
        ('search_targets = ["tome",\n"tgat"]', "study.toml:2: unknown accelerator 'tgat'; known"),
        ('metrics = ["ssim",\n"fid"]', "study.toml:2: unknown metric 'fid'; known: clip"),
        ("[limits]\nssim = 0.9\nlpisp = 1", "study.toml:3: unknown metric 'lpisp'; known: clip"),
        ('[limits]\nlpips = "low"', "study.toml:2: limits.lpips must be a number, not 'low'"),
        ("\n[knobs.tomme]\nratio = 1", "study.toml:2: unknown accelerator 'tomme'; known: deepc"),
        ("[knobs.tome]\nratoi = 1", "study.toml:2: unknown knob tome.ratoi; known: ratio, max"),
        ("[knobs.tome]\nratio = [\n0.5,\n2]", "study.toml:4: tome.ratio = 2 is outside 0.0 … 1"),
        ("\nseed = 1.5", "study.toml:2: seed must be a whole number of at least 0, not 1.5"),
        ("\ndistinct = true", "study.toml:2: distinct works with the sampler grid only, not wi"),
        ("num_samples = 8\nmax_samples = 4", "study.toml:2: max_samples must be at least num_sa"),
        ("[limits]\nlpips = 1\nseed = 1", "study.toml:3: seed stands in the table [limits]; move"),
        ("[knobs.tome]\nratio = 1\nseed = 1", "study.toml:3: seed stands in the table [knobs.to"),
        ("pipe = SD1.5", "study.toml:1:8: this is not TOML: invalid value; text stands in quotes"),
        ("\ndistinct = yes", "study.toml:2:12: this is not TOML: invalid value; text stands in"),
        ("seed = 1\nseed = 2", "study.toml:2:9: this is not TOML: cannot overwrite a value; the"),
        ("[limits]\n[limits]", "study.toml:2:8: this is not TOML: cannot declare ('limits',) twi"),
        ("steps = [20,\n50", "study.toml:2:3: this is not TOML: unclosed array"),
        ("seed = 1 steps = 2", "study.toml:1:10: this is not TOML: expected newline or end of d"),
        ("steps 20", "study.toml:1:7: this is not TOML: expected '=' after a key in a key/value"),
        ('pipe = "SD1.5\n', "study.toml:1:14: this is not TOML: illegal character '\\n'; a text "),
    ],
)
def test_a_mistake_is_reported_with_its_file_and_line_and_what_would_work(
    text: str, start: str
) -> None:
    assert message(text).startswith(start)


def test_a_wrong_value_of_a_flag_is_not_blamed_on_the_file() -> None:
    assert message("steps = 20", steps="0") == "steps must be a whole number of at least 1, not 0"


def test_a_flag_that_replaces_a_wrong_value_makes_the_file_usable() -> None:
    Path("study.toml").write_text('sched = "DIM"\n')
    (spec,) = read_specs(Path("study.toml"), {"sched": "UniPC"})
    assert spec.sched == "UniPC"


def test_a_value_that_turns_out_to_be_wrong_later_is_found_in_the_file_too() -> None:
    path = Path("study.toml")
    path.write_text('steps = 5\ndevice = "cuda:99"\n')
    with pytest.raises(UsageError, match=r"^study.toml:2: unknown device$"), locating(path, {}):
        raise UsageError("unknown device", key=("device",))
    with pytest.raises(UsageError, match=r"^no key of the file$"), locating(path, {}):
        raise UsageError("no key of the file", key=("dtype",))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("ab1.", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tome", "ratio", "lpips", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), ANYTHING, min_size=1, max_size=3))
def test_whatever_a_file_holds_the_only_error_is_one_line(values: dict[str, Any]) -> None:
    try:
        read_specs(None, values)
    except UsageError as error:
        assert "\n" not in str(error)
        assert error.key, error


def test_a_pipeline_and_the_table_of_its_call_are_found_from_the_study_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        'pipeline = "production.py:make_pipeline"\n'
        '[call]\nheight = 24\nnegative_prompt = "blurry"\n'
        'image = ["a.png", "b.png"]\n'
    )
    (spec,) = read_specs(path, {"steps": "20"})
    assert spec.pipeline == f"{tmp_path / 'production.py'}:make_pipeline"
    assert spec.call == {
        "height": 24,
        "negative_prompt": "blurry",
        "image": [str(tmp_path / "a.png"), str(tmp_path / "b.png")],
    }
    assert spec.arguments == {"num_inference_steps": 20}
    (by_flag,) = read_specs(path, {"call": "calls.py:make_call"})
    assert by_flag.call == "calls.py:make_call"  # which is found from the working folder
