"""Conditions are shown in words that people read."""

from tuner.study.conditions import labelled


def test_compiled_blocks_are_shown_in_words_though_stored_values_stay() -> None:
    stored = {"compile": "default by blocks", "batch": 4, "negative_prompt": None}
    assert dict(labelled(stored)) == {"torch.compile": "default, block by block", "batch size": 4}
    assert dict(labelled({"compile": "max-autotune"})) == {"torch.compile": "max-autotune"}
