"""Files of settings that are damaged, or that name what must not be run or opened."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.bounds import INPUTS, answer, fuzz
from tests.fuzz.hostile import NESTED, TEXTS, damaged, json_of, mangled
from tests.params.files import contents, point, study
from tests.params.settings import DEEPCACHE
from tuner.loading import model_named
from tuner.params.as_diffusers import script
from tuner.params.choice import choices_of_class
from tuner.params.pick import point_picked_by
from tuner.params.read import read
from tuner.params.verify import settings_to_verify, spec_of

WHOLE = contents(
    one=study(8, DEEPCACHE, evaluation={"device": "cpu", "device_type": "cpu"})
    | {"by_combination": {"deepcache": point(DEEPCACHE)}, "pareto": [point(DEEPCACHE)]}
)
DATA = json.dumps(WHOLE).encode()
RULES = ["fastest", "knee", "loss<=0.5%", "speedup>=2", "trial 0", *TEXTS]

files = st.one_of(
    damaged(WHOLE).map(lambda document: json_of(document).encode()),
    mangled(DATA),
    st.binary(max_size=200),
)


@INPUTS
def test_any_file_of_settings_gives_a_setting_or_one_line(inputs: int, tmp_path: Path) -> None:
    drawn = st.tuples(files, st.sampled_from(RULES))
    fuzz(inputs, drawn, lambda value: _use(tmp_path, *value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NESTED, "lists or tables are nested more than 32 levels deep"),
        (json_of(WHOLE).replace("0.01", "NaN"), "JSON has no NaN"),
        (json_of(WHOLE).replace("0.01", "1e999"), "a number is too large"),
        (json_of(WHOLE).replace("0.01", "9" * 400), "a whole number has more than 64 bits"),
        (json_of(WHOLE).replace('"SD1.5"', r'"\ud800"'), "half of a surrogate pair"),
        ("[" + "0," * 9_000_000 + "0]", "has 18 MB, but at most 16 MB are read"),
        ('{"schema": 1, "studies": {"a": [' + "0," * 2_000_000 + "0]}}", "at studies → a: [0, 0,"),
    ],
)
def test_files_that_once_crashed_or_hung_a_reader(text: str, words: str, tmp_path: Path) -> None:
    assert words in answer(lambda value: _use(tmp_path, value, "fastest"), text.encode())


def test_without_a_guidance_scale_the_models_own_counts() -> None:
    whole = study(8, DEEPCACHE, evaluation={})
    del whole["evaluation"]["guidance"]
    default = model_named(whole["pipe"]).guidance_scale
    assert spec_of(whole, {}).guidance_scale is None
    assert f'"guidance_scale": {default}' in script("a", whole)


@pytest.mark.parametrize("text", ['"""\nimport os\n"""', '\\"""\nimport os\n', "x\\"])
def test_no_name_becomes_code_of_a_script(text: str) -> None:
    whole = study(8, DEEPCACHE, evaluation={"device": text}) | {"versions": {"torch": text}}
    assert _imports(script(text, whole)) == _imports(
        script("a", study(8, DEEPCACHE, evaluation={}))
    )
    wrong = study(8, DEEPCACHE, evaluation={"dtype": "float32, __import__('os')"})
    assert "unknown dtype" in answer(lambda value: script("a", value), wrong)


def _use(folder: Path, data: bytes, rule: str) -> Any:
    """All that is done with a file before a pipeline is there."""
    path = folder / "search_params.json"
    path.write_bytes(data)
    read_contents = read(path)
    choices_of_class(read_contents, "StableDiffusionPipeline", rule)
    for name, of_study in read_contents["studies"].items():
        settings_to_verify(of_study, best_only=False)
        for use in (spec_of, script, point_picked_by):
            arguments: dict[Any, tuple[Any, ...]] = {
                spec_of: (of_study, {}),
                script: (name, of_study),
                point_picked_by: (rule, of_study, name),
            }
            result = answer(lambda given, use=use: use(*given), arguments[use])
            if use is script and result.startswith('"""'):
                assert _imports(result) <= {"torch", "diffusers", "DeepCache", "tomesd", "tgate"}


def _imports(code: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(code)))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return named | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
