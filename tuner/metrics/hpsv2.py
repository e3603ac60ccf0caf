"""Human Preference Score v2.1 (Wu et al., 2023, arXiv 2306.09341).

Its network is open_clip's ViT-H-14 with fine-tuned weights, so open_clip can load it. The authors'
own package is not used: it pins versions of packages that conflict with ours, and loads the
weights again for each prompt.
"""

from tuner.metrics import MetricKind
from tuner.metrics._load import loading
from tuner.metrics.clip import ClipScore

REPOSITORY, WEIGHTS = "xswu/HPSv2", "HPS_v2.1_compressed.pt"


def load(*, device: str, model: str = "ViT-H-14", weights: str | None = None) -> ClipScore:
    """Load the metric: 100 times the cosine between the embeddings of prompt and picture.

    Args:
        device: where it runs.
        model: open_clip's name of the model.
        weights: a file with the weights; the hub's when None.

    Raises:
        UsageError: the weights cannot be loaded.
    """
    from huggingface_hub import hf_hub_download

    remedy = f"connect to the hub, or put {REPOSITORY} into its cache (HF_HOME) first"
    with loading("hpsv2", remedy):
        file = weights or hf_hub_download(REPOSITORY, WEIGHTS)
    return ClipScore(device=device, model=model, pretrained=file, name="hpsv2")


component = MetricKind(name="hpsv2", load=load, repositories=(REPOSITORY,))
