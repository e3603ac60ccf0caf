"""No file is evaluated or unpickled anywhere in the package, and no remote code is trusted."""

import ast
from collections.abc import Iterator
from pathlib import Path

import tuner

FILES = sorted(Path(tuner.__file__).parent.rglob("*.py"))
MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "runpy"}
CALLS = {"eval", "exec", "compile", "np.load", "numpy.load", "torch.load", "yaml.load"}
# A run sends its workers their function, as Dask does: nothing of it comes from a file.
BETWEEN_OWN_PROCESSES = {"child": ["pickle"], "crew": ["cloudpickle"]}
KEYWORDS = {"trust_remote_code", "custom_pipeline", "weights_only"}


def found(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield node.module
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield from (name for _ in range(name in CALLS))
            yield from (key.arg for key in node.keywords if key.arg and key.arg in KEYWORDS)


def test_no_module_of_the_package_runs_what_it_reads() -> None:
    names = {file.stem: list(found(file.read_text(encoding="utf-8"))) for file in FILES}
    assert {file: calls for file, calls in names.items() if calls} == BETWEEN_OWN_PROCESSES


def test_what_is_looked_for_is_found() -> None:
    code = "import pickle\neval('1')\ntorch.load(file, weights_only=False)\n"
    assert list(found(code)) == ["pickle", "eval", "torch.load", "weights_only"]
