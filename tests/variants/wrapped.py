"""The variants in which other code moves, casts or quantises the weights of the denoiser."""

from collections.abc import Callable
from typing import Any

import accelerate
import torch

from tests.helpers.pipelines import new
from tests.variants.variant import Variant, row
from tuner.pipelines.denoiser import denoiser_of

CPU = torch.device("cpu")


def _changed(family: str, change: Callable[[Any], Any]) -> Callable[[], Any]:
    def make() -> Any:
        pipeline = new(family)
        change(pipeline)
        return pipeline

    return make


def _offloaded_to_cpu(pipeline: Any) -> None:
    pipeline.enable_model_cpu_offload(device="cpu")


def _offloaded_in_sequence(pipeline: Any) -> None:
    accelerate.cpu_offload(denoiser_of(pipeline), CPU)


def _offloaded_by_groups(pipeline: Any) -> None:
    denoiser_of(pipeline).enable_group_offload(
        onload_device=CPU, offload_device=CPU, offload_type="leaf_level"
    )


def _offloaded_by_blocks(pipeline: Any) -> None:
    denoiser_of(pipeline).enable_group_offload(
        onload_device=CPU, offload_device=CPU, offload_type="block_level", num_blocks_per_group=1
    )


def _cast(pipeline: Any) -> None:
    denoiser_of(pipeline).enable_layerwise_casting(
        storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
    )


def _in_bfloat16(pipeline: Any) -> None:
    pipeline.to(dtype=torch.bfloat16)


def _torchao(pipeline: Any) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(denoiser_of(pipeline), Int8WeightOnlyConfig())


def _bitsandbytes(pipeline: Any) -> None:
    """What diffusers' quantizer does to a model that it loads: its linear layers are replaced."""
    import bitsandbytes

    denoiser = denoiser_of(pipeline)
    for name, linear in list(denoiser.named_modules()):
        if type(linear) is not torch.nn.Linear:
            continue
        layer = bitsandbytes.nn.Linear8bitLt(
            linear.in_features, linear.out_features, linear.bias is not None, has_fp16_weights=False
        )
        layer.load_state_dict(linear.state_dict())
        parent, _, child = name.rpartition(".")
        setattr(denoiser.get_submodule(parent), child, layer.to("cpu"))


WAYS = (
    ("model offloading", _offloaded_to_cpu, 1e-3, ()),
    ("sequential offloading", _offloaded_in_sequence, 1e-3, ()),
    ("group offloading of leaves", _offloaded_by_groups, 1e-3, ()),
    ("group offloading of blocks", _offloaded_by_blocks, 1e-3, ()),
    ("layerwise casting", _cast, 1e-3, ()),
    ("bfloat16", _in_bfloat16, 0.02, ()),
    ("int8 weights (torchao)", _torchao, 1e-3, ("torchao",)),
    ("int8 weights (bitsandbytes)", _bitsandbytes, 1e-3, ("bitsandbytes",)),
)

OF_WEIGHTS: list[Variant] = [
    row(family, name, _changed(family, change), precise=False, tolerance=tolerance, needs=needs)
    for family in ("sd", "pixart", "sd3", "flux")  # SDXL's U-Net is of SD's class
    for name, change, tolerance, needs in WAYS
]
