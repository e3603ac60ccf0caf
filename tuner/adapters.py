"""What changes a pipeline's pictures beside its weights: scales of adapters, and switches."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

FREE_U = ("s1", "s2", "b1", "b2")  # attributes of a U-Net's blocks; None where it is off


def adapters_digest(modules: Mapping[str, Any], *, ip_adapter: bool = True) -> str:
    """A digest of how the adapters of modules are set; '' for modules without any.

    It covers LoRAs (names of the active ones, their scales, whether they are merged), the scales of
    IP-Adapters, FreeU and the tiling of a VAE.

    Args:
        modules: by name.
        ip_adapter: whether to include the scales of IP-Adapters.
    """
    found = [
        (name, path, state)
        for name, root in modules.items()
        for path, module in root.named_modules()
        for state in _states(module, ip_adapter)
    ]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest() if found else ""


def _states(module: Any, ip_adapter: bool) -> Iterator[list[Any]]:
    own = vars(module)  # looking up an attribute that a module lacks would take much longer
    scaling = own.get("scaling")
    if isinstance(scaling, dict) and "merged_adapters" in own:  # a layer of peft
        active = [] if module.disable_adapters else list(module.active_adapters)
        scales = [[adapter, float(scaling[adapter])] for adapter in active if adapter in scaling]
        yield ["lora", scales, sorted(own["merged_adapters"])]
    processor = own.get("processor") or own["_modules"].get("processor")
    scale = None if processor is None else vars(processor).get("scale")
    if ip_adapter and isinstance(scale, list):
        yield ["ip_adapter", repr(scale)]
    free_u = [own.get(name) for name in FREE_U]
    if all(isinstance(value, int | float) for value in free_u):
        yield ["free_u", free_u]
    if own.get("use_tiling") is True:
        yield ["tiling"]
