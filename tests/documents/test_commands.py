"""What the documents tell people to type is understood: flags, values, study files, Python."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import tuner
from tests.documents.markdown import DOCUMENTS, ROOT, blocks, inline_code, name_of
from tuner.cli.arguments import argument_parser
from tuner.study_files import KEYS, read_specs

EACH_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
HISTORY = ROOT / "CHANGELOG.md"  # it may name what no longer exists
PLACEHOLDER = re.compile(r"\b[A-Z]{4,}\b|…|\.\.\.")


def shell_lines(document: Path) -> Iterator[str]:
    """Each command of the shell blocks, with continued lines put together."""
    for _, text in blocks(document, "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip():
                yield line


def commands(document: Path) -> Iterator[list[str]]:
    """The words of each command, without comments and without variables set in front."""
    in_text = (code for code in inline_code(document) if not PLACEHOLDER.search(code))
    for line in [*shell_lines(document), *in_text]:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # a code span that is no command, such as one with an apostrophe
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        ends = [index for index, word in enumerate(words) if word in (">", "|", "&", "&&")]
        if words:
            yield words[: min(ends, default=len(words))]


def arguments_of_tuner(document: Path) -> Iterator[list[str]]:
    for words in commands(document):
        if Path(words[0]).name == "tuner" and len(words) > 1:
            yield words[1:]


@EACH_DOCUMENT
def test_each_command_line_is_understood_by_the_parser(
    document: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if document == HISTORY:
        pytest.skip("the changelog also names flags of earlier versions")
    monkeypatch.chdir(tmp_path)
    for arguments in arguments_of_tuner(document):
        try:
            parsed = vars(argument_parser().parse_args(arguments))
        except SystemExit as ended:
            message = capsys.readouterr().err
            if arguments[-1].startswith("--") and "expected one argument" in message:
                continue  # a text names a flag without its value
            if len(arguments) == 1 and "arguments are required" in message:
                continue  # a text names a command without what it needs
            assert ended.code == 0, f"tuner {shlex.join(arguments)}: {message}"
            continue
        if parsed["name"] in ("run", "init") and "NAME" not in arguments:
            flags = {name: value for name, value in parsed.items() if name in KEYS}
            if str(flags.get("model")).startswith("./"):
                Path(flags["model"]).mkdir(exist_ok=True)
            file = parsed.get("study_file")
            read_specs(ROOT / file if file and (ROOT / file).is_file() else None, flags)


@EACH_DOCUMENT
def test_each_python_block_compiles_and_uses_public_names(document: Path) -> None:
    for line, text in blocks(document, "python"):
        compile(text, f"{name_of(document)}:{line}", "exec")
        for name in re.findall(r"\btuner\.(\w+)\(", text):
            assert name in tuner.__all__, f"{name_of(document)}:{line}: tuner.{name}"


@EACH_DOCUMENT
def test_each_toml_block_is_a_study_file_that_can_be_read(document: Path, tmp_path: Path) -> None:
    for line, text in blocks(document, "toml"):
        path = tmp_path / f"line-{line}.toml"
        path.write_text(text, encoding="utf-8")
        assert read_specs(path, {})


@EACH_DOCUMENT
def test_each_module_and_make_target_exists(document: Path) -> None:
    targets = re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    for words in commands(document):
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, words
        if words[1:2] == ["-m"] and "python" in words[0]:
            assert importlib.util.find_spec(words[2]), words


@EACH_DOCUMENT
def test_each_file_that_pytest_is_given_exists(document: Path) -> None:
    for words in commands(document):
        if "pytest" in words:
            files = [word for word in words if word.startswith("tests/")]
            assert all((ROOT / file).exists() for file in files), files
