"""Human Preference Score v2.1 (Wu et al., 2023, arXiv 2306.09341).

Its network is open_clip's ViT-H-14 with weights of its own, so open_clip loads it; the authors'
package pins versions that do not go together with ours, and reads the weights anew for each prompt.
"""

from tuner.metrics import MetricKind
from tuner.metrics._load import loading
from tuner.metrics.clip import ClipScore

REPOSITORY, WEIGHTS = "xswu/HPSv2", "HPS_v2.1_compressed.pt"


def load(*, device: str, model: str = "ViT-H-14", weights: str | None = None) -> ClipScore:
    """100 times the cosine of prompt and picture; `weights` is a file in the hub's place.

    Raises `UsageError` where the weights cannot be had.
    """
    from huggingface_hub import hf_hub_download

    remedy = f"connect to the hub, or put {REPOSITORY} into its cache (HF_HOME) first"
    with loading("hpsv2", remedy):
        file = weights or hf_hub_download(REPOSITORY, WEIGHTS)
    return ClipScore(device=device, model=model, pretrained=file, name="hpsv2")


component = MetricKind(name="hpsv2", load=load)
