"""Arguments for choosing a setting, and for the comparison with fewer steps."""

import argparse


def add_pick(export: argparse.ArgumentParser) -> None:
    """`--pick` of `tuner export`."""
    export.add_argument(
        "--pick",
        metavar="RULE",
        help="which setting of each study a pipeline applies: fastest; knee, where the front bends "
        "most; a bound in quotes, such as 'loss<=0.5%%' or 'lpips<=0.1' for the fastest setting "
        "within it, or 'speedup>=2' for the one with the least loss; or 'trial 7' for the setting "
        "of that trial, feasible or not (default: fastest)",
    )


def add_no_reference(run: argparse._ActionsContainer) -> None:
    """`--no-reference` of `tuner run`."""
    run.add_argument(
        "--no-reference",
        dest="reference",
        action="store_const",
        const=False,
        help="leave out measuring the plain pipeline with fewer steps, which a search does at its "
        "end, for comparison with the settings (a sweep never does)",
    )
