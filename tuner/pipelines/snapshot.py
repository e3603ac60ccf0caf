"""Whether other code has changed a denoiser's modules since a double of it was made."""

import operator
from typing import Any

from tuner.pipelines.double import HOOKS

# A gate or a compiled function is put there for a call; neither is part of what is computed.
_IGNORED = frozenset({"_compiled_call_impl"})


class Snapshot:
    """The attributes of a denoiser's modules at some time: which objects they were.

    LoRAs that are loaded, an attention processor, FreeU: whatever exchanges an attribute or a
    module is noticed. Comparing all modules of SDXL's U-Net takes a few milliseconds.
    """

    def __init__(self, denoiser: Any, ignored: frozenset[str], *, own_hooks: bool) -> None:
        """Remember the modules.

        Args:
            denoiser: a model.
            ignored: attributes of the denoiser itself that may change.
            own_hooks: whether the hooks of the denoiser itself matter.
        """
        self._denoiser = denoiser
        self._ignored = ignored | _IGNORED
        self._own_hooks = own_hooks
        self._states = [
            (module, self._attributes(module), list(map(dict, self._containers(module))))
            for module in denoiser.modules()
        ]

    def still_true(self) -> bool:
        """Whether every attribute of every module is the same object as then."""
        return all(
            _same(self._attributes(module), attributes)
            and all(map(_same, self._containers(module), containers))
            for module, attributes, containers in self._states
        )

    def _attributes(self, module: Any) -> dict[str, Any]:
        ignored = self._ignored if module is self._denoiser else _IGNORED
        return {name: value for name, value in vars(module).items() if name not in ignored}

    def _containers(self, module: Any) -> list[dict[Any, Any]]:
        """The dictionaries that are changed in place, and so are compared entry by entry.

        Those of parameters and buffers are not among them: a double shares them.
        """
        state = vars(module)
        hooks = HOOKS if self._own_hooks or module is not self._denoiser else ()
        return [state["_modules"], *(state[name] for name in hooks)]


def _same(state: dict[Any, Any], last: dict[Any, Any]) -> bool:
    return state.keys() == last.keys() and all(map(operator.is_, state.values(), last.values()))
