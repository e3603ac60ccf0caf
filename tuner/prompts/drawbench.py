"""DrawBench: 200 prompts in eleven categories (Saharia et al., 2022, arXiv 2205.11487)."""

from tuner.prompts import PromptData

component = PromptData("sayakpaul/drawbench", "train", "Prompts", name="DrawBench")
