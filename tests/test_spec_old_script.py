"""The old script: its defaults, its command lines and its names."""

import shlex
from pathlib import Path

from tests.helpers.specs import flags
from tuner.spec import StudySpec


def test_defaults_are_the_old_scripts() -> None:
    (spec,) = flags()
    assert (spec.pipe, spec.sched, spec.steps) == ("SD1.5", "DDIM", 50)
    assert (spec.num_samples, spec.batch_size, spec.seed) == (32, 4, 42)
    assert spec.req_score_loss == 0.02
    assert (spec.req_time, spec.req_speedup) == (None, None)
    assert spec.trials == 100
    assert spec.storage == "sqlite:///tuner.db"
    assert set(spec.search_targets) == {"deepcache", "tome", "tgate"}
    assert spec.triple == "SD1.5/DDIM/50"
    assert spec == StudySpec()


def test_the_old_scripts_command_line_runs_as_it_was() -> None:
    line = (
        "--pipe SD1.5 --sched DPM-Solver++ --steps 25 --search_targets deepcache,tgate "
        "--num_samples 16 --batch_size=8 --seed 7 --req_time 1.5 --req_speedup=2 "
        "--req_score_loss 0.03"
    )
    (spec,) = flags(*line.split())
    assert spec == StudySpec(
        pipe="SD1.5",
        sched="DPM-Solver++",
        steps=25,
        search_targets=("deepcache", "tgate"),
        num_samples=16,
        batch_size=8,
        seed=7,
        req_time=1.5,
        req_speedup=2.0,
        req_score_loss=0.03,
    )


def test_every_command_line_of_the_old_scripts_sweep_gives_its_study() -> None:
    lines = (Path(__file__).parent / "old_sweep.sh").read_text().splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    studies = []
    for command in filter(None, commands):
        assert command[:3] == ["python", "cli.py", "run"]
        (spec,) = flags(*command[3:])
        assert spec == StudySpec(
            pipe=spec.pipe,
            sched=spec.sched,
            steps=spec.steps,
            search_targets=spec.search_targets,
            num_samples=32,
            batch_size=8,
            req_score_loss=0.02,
        )
        studies.append((spec.triple, spec.search_targets))
    triples = {
        f"{pipe}/{sched}/{steps}"
        for pipe in ("SD1.5", "SD2.1", "SDXL")
        for sched in ("DDIM", "DPM-Solver++", "UniPC")
        for steps in (20, 25, 50)
    }
    assert {triple for triple, _ in studies} == triples
    assert len(set(studies)) == len(studies) == 162


def test_pixart_is_accepted_as_the_old_script_spelt_it() -> None:
    specs = flags("--pipe", "PixArt-Alpha,PixArt-Sigma", "--sched", "DPMSolverMultistepScheduler")
    assert [spec.triple for spec in specs] == [
        "PixArt-Alpha/DPM-Solver++/50",
        "PixArt-Sigma/DPM-Solver++/50",
    ]
