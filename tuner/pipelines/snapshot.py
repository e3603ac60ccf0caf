"""Whether other code has changed a denoiser's modules since a double of it was made."""

import operator
from typing import Any

# A gate or a compiled function is put there for a call; neither is part of what is computed.
_IGNORED = frozenset({"_compiled_call_impl"})
# Dictionaries that are changed in place, and so must be compared entry by entry. A double shares
# the dictionaries of parameters and buffers.
_CONTAINERS = (
    "_modules",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


class Snapshot:
    """The attributes of a denoiser's modules at some time: which objects they were.

    LoRAs that are loaded, an attention processor, FreeU: whatever exchanges an attribute or a
    module is noticed. Comparing all modules of SDXL's U-Net takes a few milliseconds.
    """

    def __init__(self, denoiser: Any, ignored: frozenset[str]) -> None:
        """Remember the modules; attributes of the denoiser itself in `ignored` may change."""
        self._denoiser = denoiser
        self._ignored = ignored | _IGNORED
        self._states = [
            (module, self._attributes(module), [dict(vars(module)[name]) for name in _CONTAINERS])
            for module in denoiser.modules()
        ]

    def still_true(self) -> bool:
        """Whether every attribute of every module is the same object as then."""
        return all(
            _same(self._attributes(module), attributes)
            and all(
                _same(vars(module)[name], entries)
                for name, entries in zip(_CONTAINERS, containers, strict=True)
            )
            for module, attributes, containers in self._states
        )

    def _attributes(self, module: Any) -> dict[str, Any]:
        ignored = self._ignored if module is self._denoiser else _IGNORED
        return {name: value for name, value in vars(module).items() if name not in ignored}


def _same(state: dict[str, Any], last: dict[str, Any]) -> bool:
    return state.keys() == last.keys() and all(map(operator.is_, state.values(), last.values()))
