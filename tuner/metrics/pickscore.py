"""PickScore: a reward learned from people's choices (Kirstain et al., 2023, arXiv 2305.01569)."""

from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import loading, weights_of

MODEL, PROCESSOR = "yuvalkirstain/PickScore_v1", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"


class PickScore:
    """The scaled cosine of a fine-tuned CLIP, through transformers; about 20 for good pictures."""

    def __init__(self, *, device: str, model: str = MODEL, processor: str = PROCESSOR) -> None:
        """Load from the hub or from folders; raises `UsageError` if that fails."""
        from transformers import CLIPModel, CLIPProcessor

        remedy = f"connect to the hub, or put {model} and {processor} into its cache (HF_HOME)"
        with loading("pickscore", remedy):
            self._processor = CLIPProcessor.from_pretrained(processor)
            self._model = CLIPModel.from_pretrained(model).eval().to(device)
        self._device = device
        self.identity = f"pickscore {weights_of(self._model)}"

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        """One score for each picture and its prompt."""
        import torch

        inputs = self._processor(
            images=images,
            text=prompts,
            padding=True,
            truncation=True,
            max_length=77,
            return_tensors="pt",
        ).to(self._device)
        with torch.inference_mode():
            logits = self._model(**inputs).logits_per_image.diagonal()
        scores: list[float] = logits.tolist()
        return scores


component = MetricKind(name="pickscore", load=PickScore)
