"""CLIP score, through open_clip (Hessel et al., 2021, arXiv 2104.08718)."""

from typing import Any

from tuner.metrics import MetricKind
from tuner.metrics._load import dtype_on, identity_of, loading

MODEL, PRETRAINED = "ViT-g-14", "laion2b_s34b_b88k"
REPOSITORY = "laion/CLIP-ViT-g-14-laion2B-s34B-b88K"  # where open_clip has these weights from


class ClipScore:
    """100 times the cosine between the embeddings of a picture and of its prompt.

    The embeddings are computed in float16 on CUDA, in float32 elsewhere; the cosine in float32.
    """

    def __init__(
        self, *, device: str, model: str = MODEL, pretrained: str = PRETRAINED, name: str = "clip"
    ) -> None:
        """Load the model.

        Args:
            device: where it runs.
            model: open_clip's name of the model, or `local-dir:FOLDER` for a folder with
                open_clip's configuration and weights.
            pretrained: open_clip's name of the weights, or a file; empty for a folder.
            name: what the metric is called in messages and in its identity.

        Raises:
            UsageError: the model or its weights cannot be loaded.
        """
        import open_clip

        self._device, self._dtype = device, dtype_on(device)
        # Without the path: the same weights may be in another folder on another machine, and other
        # weights in the same folder, which the digest distinguishes.
        model_name = model.rsplit("/", 1)[-1]
        what = f"the {name} model {model!r} with weights {pretrained!r}"
        with loading(what, "connect to the hub, or put the weights into its cache (HF_HOME) first"):
            # Loaded on the CPU: a GPU needs room for the converted weights only.
            self._model, _, self._preprocess = open_clip.create_model_and_transforms(
                model, pretrained=pretrained or None, device="cpu"
            )
            self._tokenize = open_clip.get_tokenizer(model)
            self.identity = identity_of(f"{name} {model_name}", self._model, self._dtype)
            self._model.eval().to(device, self._dtype)

    def score(self, images: list[Any], prompts: list[str]) -> list[float]:
        """CLIP score of each picture with its prompt, in points (100 is a perfect match)."""
        pictures, texts = self._embed(images, prompts)
        scores: list[float] = (100 * (pictures * texts).sum(1)).tolist()
        return scores

    def choose(self, image: Any, prompts: list[str]) -> int:
        """The index of the prompt that a picture fits best."""
        pictures, texts = self._embed([image], prompts)
        return int((texts @ pictures[0]).argmax())

    def _embed(self, images: list[Any], prompts: list[str]) -> tuple[Any, Any]:
        """Unit vectors of pictures and prompts, each of shape (count, width)."""
        import torch
        from torch.nn.functional import normalize

        with torch.inference_mode():
            pixels = torch.stack([self._preprocess(image) for image in images])
            pixels = pixels.to(self._device, self._dtype)
            tokens = self._tokenize(prompts).to(self._device)
            return (
                normalize(self._model.encode_image(pixels).float(), dim=1),
                normalize(self._model.encode_text(tokens).float(), dim=1),
            )


component = MetricKind(name="clip", load=ClipScore, repositories=(REPOSITORY,))
