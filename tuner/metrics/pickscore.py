"""PickScore: a reward learned from people's choices (Kirstain et al., 2023, arXiv 2305.01569)."""

from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import dtype_on, identity_of, loading

MODEL, PROCESSOR = "yuvalkirstain/PickScore_v1", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"


class PickScore:
    """The scaled cosine of a fine-tuned CLIP, through transformers; about 20 for good pictures.

    The embeddings are computed in float16 on CUDA, in float32 elsewhere; the cosine in float32,
    because float16 has steps of 0.016 there.
    """

    def __init__(self, *, device: str, model: str = MODEL, processor: str = PROCESSOR) -> None:
        """Load from the hub or from folders; raises `UsageError` if that fails."""
        from transformers import CLIPModel, CLIPProcessor

        self._device, self._dtype = device, dtype_on(device)
        remedy = f"connect to the hub, or put {model} and {processor} into its cache (HF_HOME)"
        with loading("pickscore", remedy):
            self._processor = CLIPProcessor.from_pretrained(processor)
            self._model = CLIPModel.from_pretrained(model).eval()
            self.identity = identity_of("pickscore", self._model, self._dtype)
            self._model.to(device, self._dtype)

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        """One score for each picture and its prompt."""
        import torch
        from torch.nn.functional import normalize

        inputs = self._processor(
            images=images,
            text=prompts,
            padding=True,
            truncation=True,
            max_length=77,
            return_tensors="pt",
        ).to(self._device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self._dtype)
        with torch.inference_mode():
            output = self._model(**inputs)
            pictures = normalize(output.image_embeds.float(), dim=1)
            texts = normalize(output.text_embeds.float(), dim=1)
            scale = self._model.logit_scale.float().exp()
        scores: list[float] = (scale * (pictures * texts).sum(1)).tolist()
        return scores


component = MetricKind(name="pickscore", load=PickScore, repositories=(MODEL, PROCESSOR))
