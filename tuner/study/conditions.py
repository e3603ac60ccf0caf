"""How people read the conditions under which a study is measured (`tuner.study.identity`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from tuner.pipelines.compiling import compiled_text

# By the keys that a study stores, in the order in which people look for them.
LABELS = {
    "guidance": "guidance scale",
    "resolution": "resolution",
    "negative_prompt": "negative prompt",
    "compile": "torch.compile",
    "dtype": "precision",
    "device": "device",
    "batch": "batch size",
    "seed": "seed",
    "metric": "score (metric, digest)",
    "beside": "extra metrics",
    "prompts": "prompts (number, digest)",
    "weights": "weights (digest)",
}
DIGESTS = ("prompts", "weights")


def labelled(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Labels and values of a study's evaluation; keys without a label come last."""
    for key in (*LABELS, *(key for key in evaluation if key not in LABELS)):
        if evaluation.get(key) not in (None, ""):
            value = evaluation[key]
            yield LABELS.get(key, key), compiled_text(value) if key == "compile" else value
