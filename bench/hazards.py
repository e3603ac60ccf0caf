"""Take the remedy of each of upstream's hazards out, and see which tests fail.

    python -m bench.hazards [--only 4,10]

In a copy of the source, one remedy after the other is replaced by what would be written without
it, and the tests named beside it run. Every row must name tests that fail: a remedy that no test
misses is either superfluous or unguarded. Without any change the same tests pass, which is tried
first. The hazards are numbered as in the tests, `test_1_…` to `test_10_…`.
"""

import argparse
import multiprocessing
import os
import re
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

# What takes long to import is imported once; every process with tests is a fork of this one's.
SERVER = multiprocessing.get_context("forkserver")
IMPORTED = ["pytest", "hypothesis", "tgate", "tomesd", "DeepCache", "open_clip", "optuna"]
ROOT = Path(__file__).parent.parent
TOGETHER = "tests/accelerators/test_upstream.py"
DEEPCACHE = "tests/accelerators/test_upstream_deepcache.py"
TGATE = "tests/accelerators/test_upstream_tgate.py"
TOME = "tests/accelerators/test_upstream_tome.py"
LAWS = "tests/accelerators/test_conformance.py"
REFUSED = "tests/accelerators/test_refusals.py"
MEASURE = "tests/test_measure.py"


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One remedy, and how it is taken out."""

    hazard: int
    remedy: str
    file: str  # in tuner/
    text: str  # occurs there once
    instead: str
    taken_out: str
    tests: tuple[str, ...]


REMOVALS = (
    Removal(
        hazard=1,
        remedy="T-GATE's functions are put on a double of the attentions: `doubled`",
        file="accelerators/_double.py",
        text="None if child is None else _made(child, doubles)",
        instead="child",
        taken_out="only the U-Net itself has one, and the functions stay on the attentions",
        tests=(
            f"{TGATE}::test_1_after_our_tgate_the_pipeline_is_itself_again",
            f"{LAWS}::test_afterwards_the_pipeline_is_as_it_was[tgate-sd-DDIM]",
            f"{LAWS}::test_an_exception_in_the_middle_leaves_nothing_behind[tgate-sd]",
        ),
    ),
    Removal(
        hazard=2,
        remedy="stored attentions are forgotten with each call: `_Attentions.forget`",
        file="accelerators/tgate.py",
        text="        self._kept.clear()\n",
        instead="        pass\n",
        taken_out="they stay",
        tests=(
            f"{TOGETHER}::test_2_our_combination_leaks_nothing",
            f"{LAWS}::test_repeated_and_interleaved_generations_agree[deepcache+tgate-sd-DDIM]",
        ),
    ),
    Removal(
        hazard=2,
        remedy="every call leaves nothing: `_call`",
        file="accelerators/_applied.py",
        text="                for forget_one in forget:\n                    forget_one()\n\n",
        instead="                pass\n\n",
        taken_out="only what precedes a call is forgotten, and tensors outlive it",
        tests=(f"{LAWS}::test_nothing_that_a_generation_kept_outlives_it[deepcache+tgate]",),
    ),
    Removal(
        hazard=3,
        remedy="both steps around the gate are full ones: `TGate.full_steps`",
        file="accelerators/tgate.py",
        text="return frozenset({self.gate_step - 1, self.gate_step})",
        instead="return frozenset()",
        taken_out="it names none",
        tests=(
            f"{TOGETHER}::test_3_our_combination_works_at_every_gate[2-5-0]",
            f"{TOGETHER}::test_3_both_steps_around_the_gate_are_full_passes",
        ),
    ),
    Removal(
        hazard=3,
        remedy="DeepCache makes a full pass where another asks for it: `must_be_full`",
        file="accelerators/deepcache.py",
        text="if now.afresh or self._must_be_full(now.step):",
        instead="if self._must_be_full(now.step):",
        taken_out="it asks nobody else",
        tests=(
            f"{TOGETHER}::test_3_our_combination_works_at_every_gate[2-5-0]",
            f"{TOGETHER}::test_3_both_steps_around_the_gate_are_full_passes",
        ),
    ),
    Removal(
        hazard=4,
        remedy="tokens are merged before the projections and unmerged after the output's: "
        "`ToMe.patch`",
        file="accelerators/tome.py",
        text="""\
                for projection in (attention.to_q, attention.to_k, attention.to_v):
                    projection.register_forward_pre_hook(layer.merge)
                attention.to_out[-1].register_forward_hook(layer.unmerge)
""",
        instead="""                attention.register_forward_pre_hook(layer.merge)
                attention.register_forward_hook(layer.unmerge)
""",
        taken_out="around the whole attention, as tomesd does",
        tests=(f"{TOGETHER}::test_4_our_combination_keeps_attention_that_is_unmerged",),
    ),
    Removal(
        hazard=5,
        remedy="ToMe's generator starts again with each call: `_Merging.restart`",
        file="accelerators/tome.py",
        text="        self.generation.rng = None\n",
        instead="",
        taken_out="it goes on",
        tests=(
            f"{TOME}::test_5_our_tome_depends_on_its_seed_alone",
            f"{LAWS}::test_repeated_and_interleaved_generations_agree[tome-sd-DDIM]",
        ),
    ),
    Removal(
        hazard=5,
        remedy="it is ToMe's own, seeded by the study: `_Merging.matching`",
        file="accelerators/tome.py",
        text="torch.Generator(tokens.device).manual_seed(self.generation.seed)",
        instead="torch.Generator(tokens.device).set_state(torch.get_rng_state())",
        taken_out="it is a copy of the global one",
        tests=(f"{TOME}::test_5_our_tome_depends_on_its_seed_alone",),
    ),
    Removal(
        hazard=6,
        remedy="DeepCache wraps a double of the U-Net's blocks: `doubled`",
        file="accelerators/_double.py",
        text="None if child is None else _made(child, doubles)",
        instead="child",
        taken_out="only the U-Net itself has one, and DeepCache stays on its blocks",
        tests=(f"{DEEPCACHE}::test_6_our_applications_follow_each_other_without_a_trace",),
    ),
    Removal(
        hazard=6,
        remedy="a second application is refused: `take_over`",
        file="accelerators/_owner.py",
        text="        if getattr(type(pipeline), _OWNED, _nobody)() is pipeline:\n",
        instead="        if False:\n",
        taken_out="nobody looks",
        tests=(
            f"{REFUSED}::test_a_second_application_is_refused_and_the_first_goes_on[deepcache]",
        ),
    ),
    Removal(
        hazard=6,
        remedy="what the package itself left on is refused: `check_untouched`",
        file="accelerators/_foreign.py",
        text="    for module in denoiser.modules():\n        why",
        instead="    for module in ():\n        why",
        taken_out="nobody looks",
        tests=(f"{REFUSED}::test_a_pipeline_that_other_code_patched_is_refused[DeepCache-sd]",),
    ),
    Removal(
        hazard=7,
        remedy="steps are counted, not looked up: `_helper`",
        file="accelerators/deepcache.py",
        text="self.cur_timestep = now.step",
        instead="self.cur_timestep = [*self.pipe.scheduler.timesteps].index(args[1].item())",
        taken_out="looked up, as the package does",
        tests=(
            f"{DEEPCACHE}::test_7_our_deepcache_counts_the_steps",
            f"{DEEPCACHE}::test_7_raw_deepcache_reads_timesteps_back_and_ours_does_not",
        ),
    ),
    Removal(
        hazard=7,
        remedy="schedulers of several passes a step are refused: `check_scheduler`",
        file="accelerators/_applied.py",
        text='if accelerators and (pipeline.scheduler.order != 1 or name == "PNDMScheduler"):',
        instead="if False:",
        taken_out="they are not",
        tests=(
            f"{REFUSED}::test_a_scheduler_that_repeats_timesteps_is_refused[deepcache-PNDMScheduler]",
            f"{REFUSED}::test_a_scheduler_that_is_changed_after_the_application_is_refused[deepcache]",
        ),
    ),
    Removal(
        hazard=8,
        remedy="a call without guidance is refused: `TGate.check_call`",
        file="accelerators/tgate.py",
        text="        check_guided(self.name, pipeline, arguments)\n",
        instead="        pass\n",
        taken_out="it is not",
        tests=(f"{TGATE}::test_8_our_tgate_refuses_to_go_without_guidance",),
    ),
    Removal(
        hazard=8,
        remedy="attentions compute with the processors that are there: `_where`",
        file="accelerators/tgate.py",
        text="_where(loop, register_forward=attentions.ask)",
        instead="_where(loop)",
        taken_out="the package's loop registers its own functions",
        tests=(f"{TGATE}::test_8_our_tgate_runs_the_attention_processors_that_are_there",),
    ),
    Removal(
        hazard=9,
        remedy="one generator for each prompt: `BatchGenerator.generate`",
        file="measure/batch_generator.py",
        text="""        generators = [
            torch.Generator().manual_seed(prompt_seed(self.seed, number)) for number in numbers
        ]
""",
        instead="        generators = torch.Generator().manual_seed("
        "prompt_seed(self.seed, numbers[0]))\n",
        taken_out="one for each batch",
        tests=(f"{MEASURE}::test_pictures_do_not_depend_on_the_batch_size[1-baseline]",),
    ),
    Removal(
        hazard=10,
        remedy="tokens are chosen at random in every batch: `_Merging.matching`",
        file="accelerators/tome.py",
        text="            generator=rng,\n        )\n",
        instead="            no_rand=tokens.shape[0] % 2 == 1,\n"
        "            generator=rng,\n        )\n",
        taken_out="not in odd ones, as tomesd does",
        tests=(
            f"{TOME}::test_10_our_tome_chooses_at_random_in_every_batch",
            f"{TOME}::test_10_our_tome_gives_the_same_pictures_in_an_odd_batch",
        ),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="hazards by number, separated by commas")
    only = {int(number) for number in parser.parse_args().only.split(",") if number}
    removals = [one for one in REMOVALS if not only or one.hazard in only]
    SERVER.set_forkserver_preload(IMPORTED)
    with TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        copy.mkdir()
        bytecode = shutil.ignore_patterns("__pycache__")
        for name in ("tuner", "tests", "studies"):
            shutil.copytree(ROOT / name, copy / name, ignore=bytecode)
        for name in ("cli.py", "pyproject.toml"):
            shutil.copy(ROOT / name, copy)
        failed = failing(copy, sorted({test for one in removals for test in one.tests}))
        if failed:
            raise SystemExit(f"fails without any change: {', '.join(failed)}")
        print("| hazard | remedy | taken out | tests that fail |\n|---|---|---|---|", flush=True)
        missed = [one.remedy for one in removals if not row(copy, one)]
    if missed:
        raise SystemExit(f"missed by no test: {'; '.join(missed)}")


def row(copy: Path, one: Removal) -> bool:
    """Print one row; whether all of its tests fail."""
    file = copy / "tuner" / one.file
    whole = file.read_text(encoding="utf-8")
    if whole.count(one.text) != 1:
        raise SystemExit(f"{one.file} holds this {whole.count(one.text)} times:\n{one.text}")
    file.write_text(whole.replace(one.text, one.instead), encoding="utf-8")
    try:
        failed = failing(copy, list(one.tests))
    finally:
        file.write_text(whole, encoding="utf-8")
    names = ", ".join(f"`{name}`" for name in failed)
    print(
        f"| {one.hazard} | {one.remedy} ({one.file}) | {one.taken_out} | {names or 'none'} |",
        flush=True,
    )
    return len(failed) == len(one.tests)


def failing(copy: Path, tests: list[str]) -> list[str]:
    """Run tests in the copy; the names of those that fail."""
    report = copy / "report.txt"
    process = SERVER.Process(target=test_in, args=(copy, tests, report))
    process.start()
    process.join()
    text = report.read_text(encoding="utf-8")
    if process.exitcode not in (0, 1):
        raise SystemExit(f"pytest could not run:\n{text}")
    names = re.findall(r"^(?:FAILED|ERROR) [^:]+::(\w+)", text, re.MULTILINE)
    return list(dict.fromkeys(names))


def test_in(copy: Path, tests: list[str], report: Path) -> None:
    """In a process of its own: pytest on the copy, and not on the source that is installed."""
    import pytest

    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    with report.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        code = pytest.main(["--tb=no", "-rfE", "-p", "no:cacheprovider", *tests])
        import tuner

        assert Path(tuner.__file__).is_relative_to(copy), "another tuner was tried"
    sys.exit(code)


if __name__ == "__main__":
    main()
