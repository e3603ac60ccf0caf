"""Keeping log messages, warnings and progress bars of other libraries off the terminal."""

import logging
import os
import warnings


def quiet() -> None:
    """Silence Optuna's log and all libraries' warnings."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def quiet_models() -> None:
    """Silence the progress bars of diffusers and transformers, which this imports."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
