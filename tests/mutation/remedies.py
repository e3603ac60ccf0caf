"""The remedies for known bugs of the packages, and how each is taken out of the source.

Each row names a known bug by its number, our remedy, what the source says without the remedy, and
the tests that must then fail: a remedy that no test misses is superfluous or untested. The numbers
are those of the tests `test_1_…` to `test_10_…`.
"""

from dataclasses import dataclass

TOGETHER = "tests/accelerators/test_combinations.py"
DEEPCACHE = "tests/accelerators/test_deepcache.py"
TGATE = "tests/accelerators/test_tgate.py"
TOME = "tests/accelerators/test_tome.py"
CONFORMANCE = "tests/accelerators/test_conformance.py"
REFUSED = "tests/applying/test_applied.py"
MEASURE = "tests/measure/test_evaluation.py"


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One remedy for a known package bug, and how it is taken out."""

    bug: int
    remedy: str
    file: str  # in tuner/
    text: str  # occurs exactly once in the file
    instead: str
    also: tuple[tuple[str, str, str], ...] = ()  # file, text, instead: of a second safeguard
    taken_out: str
    tests: tuple[str, ...]  # all of them fail without the remedy

    @property
    def replacements(self) -> tuple[tuple[str, str, str], ...]:
        """File, text, and what stands in its place without the remedy."""
        return ((self.file, self.text, self.instead), *self.also)


REMOVALS = (
    Removal(
        bug=1,
        remedy="T-GATE's functions are set on a double of the attentions: `doubled`",
        file="pipelines/double.py",
        text="None if child is None else _made(child, doubles)",
        instead="child",
        taken_out="a double of the U-Net only, so that the functions stay on the attentions",
        tests=(
            f"{TGATE}::test_1_after_our_tgate_the_pipeline_is_itself_again",
            f"{CONFORMANCE}::test_afterwards_the_pipeline_is_as_it_was[tgate-sd-DDIM]",
            f"{CONFORMANCE}::test_an_exception_in_the_middle_leaves_nothing_behind[tgate-sd]",
        ),
    ),
    Removal(
        bug=2,
        remedy="stored attention outputs belong to a double that each call makes anew: `doubled`",
        file="pipelines/double.py",
        text="None if child is None else _made(child, doubles)",
        instead="child",
        taken_out="a double of the U-Net only, so that attentions and blocks stay patched",
        tests=(
            f"{TOGETHER}::test_2_our_combination_leaks_nothing",
            f"{CONFORMANCE}::test_repeated_and_interleaved_generations_agree[deepcache+tgate-sd-DDIM]",
        ),
    ),
    Removal(
        bug=2,
        remedy="no tensor outlives a call: `_call`",
        file="applying/applied.py",
        text="        finally:\n            for reset in resets:\n                reset()\n",
        instead="        finally:\n            pass\n",
        taken_out="state is deleted before a call only, so that tensors outlive it",
        tests=(
            f"{CONFORMANCE}::test_nothing_that_a_generation_kept_outlives_it[deepcache+pab]",
            f"{CONFORMANCE}::test_nothing_that_a_generation_kept_outlives_it[fbcache]",
        ),
    ),
    Removal(
        bug=3,
        remedy="both steps around the gate are full ones: `TGate.full_steps`",
        file="accelerators/tgate.py",
        text="return frozenset({self.gate_step - 1, self.gate_step})",
        instead="return frozenset()",
        taken_out="it returns no steps",
        tests=(f"{TOGETHER}::test_3_both_steps_around_the_gate_are_full_passes",),
    ),
    Removal(
        bug=3,
        remedy="DeepCache makes a full pass where another accelerator needs it: `must_be_full`",
        file="accelerators/deepcache.py",
        text="if now.afresh or self._must_be_full(now.step):",
        instead="if self._must_be_full(now.step):",
        taken_out="it ignores the other accelerators",
        tests=(
            f"{TOGETHER}::test_3_our_combination_works_at_every_gate[2-5-0]",
            f"{TOGETHER}::test_3_both_steps_around_the_gate_are_full_passes",
        ),
    ),
    Removal(
        bug=4,
        remedy="tokens are merged before the projections and unmerged after the output projection: "
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
        taken_out="they are merged around the whole attention, as in tomesd",
        tests=(f"{TOGETHER}::test_4_our_combination_keeps_attention_that_is_unmerged",),
    ),
    Removal(
        bug=5,
        remedy="ToMe's random generator begins anew with each call: `_call`",
        file="applying/applied.py",
        text="        generation = Generation(seed=seed)\n",
        instead="        generation = vars(pipeline).setdefault('_kept', Generation(seed=seed))\n",
        also=(("accelerators/tome.py", "        self.generation.rng = None\n", "        pass\n"),),
        taken_out="it continues from call to call",
        tests=(
            f"{TOME}::test_5_our_tome_depends_on_its_seed_alone",
            f"{CONFORMANCE}::test_repeated_and_interleaved_generations_agree[tome-sd-DDIM]",
        ),
    ),
    Removal(
        bug=5,
        remedy="the generator is ToMe's own, seeded by the study: `_Merging.matching`",
        file="accelerators/tome.py",
        text="torch.Generator(tokens.device).manual_seed(self.generation.seed)",
        instead="torch.Generator(tokens.device).set_state(torch.get_rng_state())",
        taken_out="it is a copy of the global generator",
        tests=(f"{TOME}::test_5_our_tome_depends_on_its_seed_alone",),
    ),
    Removal(
        bug=6,
        remedy="DeepCache wraps a double of the U-Net's blocks: `doubled`",
        file="pipelines/double.py",
        text="None if child is None else _made(child, doubles)",
        instead="child",
        taken_out="a double of the U-Net only, so that DeepCache stays on its blocks",
        tests=(f"{DEEPCACHE}::test_6_our_applications_follow_each_other_without_a_trace",),
    ),
    Removal(
        bug=6,
        remedy="a second application is refused: `take_over`",
        file="pipelines/owner.py",
        text="        if getattr(type(pipeline), _OWNED, _nobody)() is pipeline:\n",
        instead="        if False:\n",
        taken_out="no check",
        tests=(
            f"{REFUSED}::test_a_second_application_is_refused_and_the_first_goes_on[deepcache]",
        ),
    ),
    Removal(
        bug=6,
        remedy="a pipeline that the package itself has patched is refused: `check_untouched`",
        file="pipelines/foreign.py",
        text="    for module in denoiser.modules():\n        why",
        instead="    for module in ():\n        why",
        taken_out="no check",
        tests=(f"{REFUSED}::test_a_pipeline_that_other_code_patched_is_refused[DeepCache-sd]",),
    ),
    Removal(
        bug=7,
        remedy="steps are counted: `_helper`",
        file="accelerators/deepcache.py",
        text="self.cur_timestep = now.step",
        instead="self.cur_timestep = [*self.pipe.scheduler.timesteps].index(args[1].item())",
        taken_out="they are looked up by timestep, as in the package",
        tests=(
            f"{DEEPCACHE}::test_7_our_deepcache_counts_the_steps",
            f"{DEEPCACHE}::test_7_raw_deepcache_reads_timesteps_back_and_ours_does_not",
        ),
    ),
    Removal(
        bug=7,
        remedy="schedulers of several passes a step are refused: `check_scheduler`",
        file="applying/applied.py",
        text='if accelerators and (pipeline.scheduler.order != 1 or name == "PNDMScheduler"):',
        instead="if False:",
        taken_out="no check",
        tests=(
            f"{REFUSED}::test_a_scheduler_that_repeats_timesteps_is_refused[deepcache-PNDMScheduler]",
            f"{REFUSED}::test_a_scheduler_that_is_changed_after_the_application_is_refused[deepcache]",
        ),
    ),
    Removal(
        bug=8,
        remedy="a call without guidance is refused: `TGate.check_call`",
        file="accelerators/tgate.py",
        text="        check_guided(self.name, pipeline, arguments)\n",
        instead="        pass\n",
        taken_out="no check",
        tests=(f"{TGATE}::test_8_our_tgate_refuses_to_go_without_guidance",),
    ),
    Removal(
        bug=8,
        remedy="attentions compute with their own processors: `_with_globals`",
        file="accelerators/tgate.py",
        text="_with_globals(loop, register_forward=modes.set)",
        instead="_with_globals(loop)",
        taken_out="the package's loop registers its own functions, on the pipeline's attentions",
        tests=(
            f"{TGATE}::test_our_tgate_is_the_packages",
            f"{TGATE}::test_1_after_our_tgate_the_pipeline_is_itself_again",
        ),
    ),
    Removal(
        bug=9,
        remedy="one generator for each prompt: `BatchGenerator.generate`",
        file="measure/batch_generator.py",
        text="""        generators = [
            torch.Generator().manual_seed(prompt_seed(self.seed, number)) for number in numbers
        ]
""",
        instead="        generators = torch.Generator().manual_seed("
        "prompt_seed(self.seed, numbers[0]))\n",
        taken_out="one generator for each batch",
        tests=(f"{MEASURE}::test_pictures_do_not_depend_on_the_batch_size[1-baseline]",),
    ),
    Removal(
        bug=10,
        remedy="tokens are chosen at random in every batch: `_Merging.matching`",
        file="accelerators/tome.py",
        text="            generator=rng,\n        )\n",
        instead="            no_rand=tokens.shape[0] % 2 == 1,\n"
        "            generator=rng,\n        )\n",
        taken_out="not in batches of odd size, as in tomesd",
        tests=(
            f"{TOME}::test_10_our_tome_chooses_at_random_in_every_batch",
            f"{TOME}::test_10_our_tome_gives_the_same_pictures_in_an_odd_batch",
        ),
    ),
)
