"""Invalid input ends with one line, exit code 2, no traceback and no file written."""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from tuner.cli.main import main
from tuner.storage.database import Storage

ROOT = Path(__file__).parent.parent
SMALL = [
    "run",
    "--pipe",
    "miniature",
    "--steps",
    "2",
    "--num-samples",
    "2",
    "--batch-size",
    "2",
    "--trials",
    "1",
]


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their contents, and all folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
    }


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder for the command."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Refused:
    """Runs a command that must be refused and returns the line that it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> str:
        folder = Path.cwd()
        before = snapshot(folder)
        code = main(arguments)
        captured = self.capsys.readouterr()
        line = captured.err.removesuffix("\n")
        assert code == 2
        assert line.startswith("tuner: ")
        assert "\n" not in line
        assert "Traceback" not in captured.err + captured.out
        assert snapshot(folder) == before
        return line


@pytest.fixture(autouse=True)
def no_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a dashboard that is not refused from serving forever."""
    if "command" in request.fixturenames:
        monkeypatch.setattr("optuna_dashboard.run_server", lambda *args, **options: None)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(capsys)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--pipe SD4", "unknown model 'SD4'; known: Flux, miniature, PixArt-Alpha"),
        ("--sched DIM", "unknown scheduler 'DIM'; known: DDIM, DPM-Solver++, UniPC"),
        ("--search-targets tome,deepcash", "unknown accelerator 'deepcash'; known: "),
        ("--sampler gps", "unknown sampler 'gps'; known: "),
        ("--distinct", "distinct is for the sampler grid, not frontier"),
        ("--sampler walk --distinct", "distinct is for the sampler grid, not walk"),
        (
            "--sampler grid --search-targets deepcache,deepcache-window",
            "deepcache and deepcache-window occupy the same part of the model, and a grid has all "
            "its accelerators on; choose with search_targets",
        ),
        ("--device cuda:99", "unknown device 'cuda:99'; present here: "),
        ("--device gpu", "unknown device 'gpu'; present here: "),
        ("--dtype float23", "unknown dtype 'float23'; known: float32, float16, bfloat16"),
        ("--steps 0", "steps must be a whole number of at least 1"),
        ("--steps twenty", "steps must be a whole number"),
        ("--num-samples 1", "num_samples must be a whole number of at least 2"),
        ("--req-score-loss 2", "req_score_loss must lie between 0 and 1 (0.02 is 2 %)"),
        ("--req-speedup 0", "req_speedup must be above 0"),
        ("--seed -1", "seed"),
        ("--seed 5000000000", "seed"),
        ("--resolution 65", "resolution"),
        ("--num-samples 2000", "the miniature's search pool has 1024 prompts, 2000 were asked for"),
        ("--prompts nowhere", "unknown prompt set 'nowhere'; known: coco, miniature, or a text"),
        ("--prompts nowhere.txt", "cannot read the prompt file nowhere.txt"),
        ("--prompts .", "cannot read the prompt file ."),
        ("--model .", ". is no diffusers pipeline: it has no model_index.json"),
        ("--model ./nowhere", "cannot load './nowhere'"),
        ("--limit lpips", "limit 'lpips' must be a metric and a number: lpips=0.2"),
        ("--limit lpisp=0.2", "unknown metric 'lpisp'; known: clip, hpsv2, imagereward, lpips"),
        ("--limit clip=1", "clip is the score itself; req_score_loss is its limit"),
        ("--metrics fid", "unknown metric 'fid'; known: "),
        ("--guidance-scale 1 --search-targets tgate", "tgate needs guidance_scale above 1"),
        ("--guidance-scale -1", "guidance_scale must be at least 0 and finite, not -1.0"),
        ("--timeout inf", "timeout must be above 0 and finite, not inf"),
        ("--prompts=", "prompts is empty; leave it out for what is usual"),
        ("--model=", "model is empty"),
        ("--pictures=", "--pictures is empty; give a folder, or none"),
        ("--steps 1 --search-targets deepcache", "nothing to try: with steps = 1 every value of"),
        ("--steps 2 --search-targets tgate --sampler tpe", "nothing to try: with steps = 2 every"),
        ("--steps 2 --search-targets tgate --sampler grid", "give more steps, other"),
        ("--steps 1001", "DDIMScheduler cannot take exactly 1001 steps on this model; the nearest"),
    ],
)
def test_a_wrong_flag_is_refused(flags: str, words: str, refused: Refused) -> None:
    assert words in refused(*SMALL, *flags.split())


def test_pixart_without_beautifulsoup4_names_the_command_that_installs_it(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("two.txt").write_text("a cat\na dog\n")
    flags = ["run", "--pipe", "PixArt-Sigma", "--prompts", "two.txt", "--num-samples", "2"]
    monkeypatch.setattr("diffusers.utils.import_utils._bs4_available", False)
    line = refused(*flags, "--search-targets", "tome")
    assert "PixArtSigmaPipeline cleans captions with beautifulsoup4, which is not installed" in line
    assert "pip install 'diffusion-tuner[pixart]'" in line


def test_an_empty_short_or_binary_prompt_file_is_refused(refused: Refused) -> None:
    Path("empty.txt").write_text("\n  \n")
    Path("short.txt").write_text("a cat\n")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    assert "is empty; write one prompt a line" in refused(*SMALL, "--prompts", "empty.txt")
    assert "has 1 prompts, 2 were asked for" in refused(*SMALL, "--prompts", "short.txt")
    assert "is not UTF-8 text" in refused(*SMALL, "--prompts", "binary.txt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pipe = = 3", "study.toml is not TOML"),
        ("num_sample = 3", "did you mean num_samples?"),
        ("[knobs.tome]\nratio = 1.5", "tome.ratio = 1.5 is outside 0.0 … 1.0"),
        ("[knobs.deepcache]\ncache_branch_id = 12", "cache_branch_id = 12 is outside 0 … 11"),
        ("[knobs.tgate]\ngate_step = [5, 0]", "tgate.gate_step = 0 is outside 1 … 1000"),
        ('req_speedup = "2"', "req_speedup"),
    ],
)
def test_a_wrong_study_file_is_refused(text: str, words: str, refused: Refused) -> None:
    Path("study.toml").write_text(text)
    assert words in refused("run", "study.toml")


def test_a_missing_study_file_and_a_folder_are_refused(refused: Refused) -> None:
    line = refused("run", "nowhere.toml")
    assert "cannot read the study file nowhere.toml" in line
    assert "bundled ones: flux, miniature" in line
    assert "cannot read the study file ." in refused("run", ".")


COMMANDS = pytest.mark.parametrize(
    "command", [SMALL, ["show"], ["export"], ["dashboard"]], ids=lambda command: command[0]
)


@COMMANDS
def test_a_database_of_another_program_is_refused_and_not_changed(
    command: list[str], refused: Refused
) -> None:
    with closing(sqlite3.connect("tuner.db")) as connection:
        connection.execute("CREATE TABLE recipes (title TEXT)")
        connection.commit()
    line = refused(*command)
    assert "belongs to another program (it has a table 'recipes')" in line
    assert "give --storage another file" in line


@COMMANDS
def test_optuna_studies_of_another_program_are_refused(
    command: list[str], refused: Refused
) -> None:
    theirs = optuna.create_study(storage="sqlite:///tuner.db", study_name="theirs")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert "belongs to another program" in refused(*command)


@COMMANDS
def test_a_file_that_is_not_a_database_is_refused(command: list[str], refused: Refused) -> None:
    Path("tuner.db").write_text("dear diary, this is no database at all\n")
    assert "tuner.db is no SQLite database" in refused(*command)


@COMMANDS
def test_a_database_of_a_newer_version_is_refused_and_not_changed(
    command: list[str], refused: Refused
) -> None:
    storage = Storage("sqlite:///tuner.db")
    storage.engine.dispose()
    storage.optuna.engine.dispose()
    with closing(sqlite3.connect("tuner.db")) as connection:
        connection.execute("UPDATE tuner_version SET version = 99")
        connection.commit()
    line = refused(*command)
    assert "was made by a newer version of the tuner (99 > 1)" in line
    assert "update the tuner" in line


@COMMANDS
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sqlite:///no/such/folder/tuner.db", ""),
        ("sqlite:///.", ""),
        ("sqlite://", "the database must be a file; try sqlite:///tuner.db"),
        ("nonsense://here/x", "nonsense://here/x"),
    ],
)
def test_a_database_address_that_cannot_be_opened_is_refused(
    address: str, words: str, command: list[str], refused: Refused
) -> None:
    assert words in refused(*command, "--storage", address)


@pytest.mark.parametrize("command", [["show"], ["export"], ["dashboard"]], ids=" ".join)
def test_without_a_database_the_message_names_the_command_that_creates_one(
    command: list[str], refused: Refused
) -> None:
    assert "there is no database tuner.db; `tuner run` makes one" in refused(*command)


def test_a_missing_folder_is_named(refused: Refused) -> None:
    line = refused(*SMALL, "--storage", "sqlite:///nowhere/tuner.db")
    assert "there is no folder nowhere" in line


def test_an_unknown_study_is_refused_with_a_list_of_the_known_ones(
    refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage("sqlite:///tuner.db")
    storage.open_study("SD1.5/DDIM/50", {"batch": 4})
    storage.engine.dispose()
    storage.optuna.engine.dispose()
    main(["show", "--study", "x"])  # opens it once, so that the journal files exist
    capsys.readouterr()
    assert "it has: SD1.5/DDIM/50" in refused("show", "--study", "SD1.5/DDIM/20")


@pytest.mark.parametrize("name", ["file", "file/pictures"])
def test_a_pictures_folder_that_is_a_file_is_refused(name: str, refused: Refused) -> None:
    Path("file").write_text("mine")
    assert "--pictures" in refused(*SMALL, "--pictures", name)
    assert Path("file").read_text() == "mine"


def test_a_port_that_is_in_use_is_named(refused: Refused) -> None:
    storage = Storage("sqlite:///tuner.db")
    storage.engine.dispose()
    storage.optuna.engine.dispose()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refused("dashboard", "--port", str(port))


@pytest.fixture
def read_only(folder: Path) -> Iterator[Path]:
    """A read-only folder; for root, on a read-only mount, as root can write to any folder."""
    place = folder / "read only"
    place.mkdir()
    mounted = False
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(place)]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
        if not mounted:
            pytest.skip("the root user can write everywhere, and mounting is not allowed here")
    else:
        place.chmod(0o555)
    yield place
    os.chdir(folder)
    if mounted:
        subprocess.run(["umount", str(place)], check=True)
    else:
        place.chmod(0o755)


def test_a_read_only_folder_is_refused(
    read_only: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(read_only)
    assert "cannot be written to" in refused(*SMALL)


def test_pictures_in_a_read_only_folder_are_refused(
    read_only: Path, folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(read_only)
    line = refused(*SMALL, "--storage", f"sqlite:///{folder / 'tuner.db'}")
    assert "--pictures" in line
    assert not (folder / "tuner.db").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "give --prompts a text file"),
        ("--prompts two.txt --num-samples 2", "give --model a folder"),
    ],
    ids=["captions", "weights"],
)
def test_an_unreachable_hub_is_reported_in_one_line(flags: str, words: str, folder: Path) -> None:
    Path("two.txt").write_text("a cat\na dog\n")
    before = snapshot(folder)
    hub = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder.parent / f"{folder.name}-empty-hub")}
    finished = subprocess.run(
        [sys.executable, ROOT / "cli.py", "run", "--pipe", "SD1.5", *flags.split()],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | hub,
    )
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.startswith("tuner: cannot ")
    assert finished.stderr.count("\n") == 1
    assert words in finished.stderr
    assert snapshot(folder) == before
