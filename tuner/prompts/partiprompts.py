"""PartiPrompts: 1,632 prompts in twelve categories (Yu et al., 2022, arXiv 2206.10789)."""

from tuner.prompts import PromptData

component = PromptData("nateraw/parti-prompts", "train", "Prompt", name="PartiPrompts")
