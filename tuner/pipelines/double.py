"""A denoiser's double: a copy of its modules that shares the weights, to be patched for one call.

Accelerators change the modules that they speed up. Changes to a double are not visible elsewhere:
another pipeline or thread continues to use the denoiser itself, hooks of other code stay on the
denoiser, and nothing has to be undone, however a call ends. No tensor is copied.
"""

import operator
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import MethodType, NoneType
from typing import Any

from tuner.pipelines.gate import Gate
from tuner.pipelines.hooks import carry_over

Doubles = dict[Any, Any]  # a module -> its double

# Attributes of a module with its hooks. A double has copies, so that its hooks are its own.
HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
# Types of attributes that refer to no module, so that a double shares the values.
_SHARED = frozenset({bool, int, float, complex, str, bytes, NoneType, set, OrderedDict})
# Attributes that are not searched for references to modules. The dictionaries of parameters and
# buffers are the same objects as the module's: moving weights to a device moves them for both.
_NOT_SEARCHED = frozenset({"_parameters", "_buffers", "_modules", *HOOKS})
# Attributes of wrappers around a module's forward. If one is added during a call, it is not copied
# to the double.
_NOT_FOLLOWED = frozenset(
    {"forward", "_old_forward", "_hf_hook", "_diffusers_hook", "_compiled_call_impl"}
)


@contextmanager
def doubled(denoiser: Any, *, follow: bool = False, with_own_hooks: bool = False) -> Iterator[Any]:
    """A double for the length of a ``with`` block; it cannot be used afterwards.

    Args:
        denoiser: a model.
        with_own_hooks: as in `double_of`.
        follow: whether the user's code may change the denoiser's modules between two passes, so
            that all changes must be copied to the double.
    """
    denoiser_double, doubles = double_of(denoiser, with_own_hooks=with_own_hooks)
    follower = _Follower(denoiser, doubles, everything=follow)
    denoiser_double.register_forward_pre_hook(follower)
    try:
        yield denoiser_double
    finally:
        # Reference cycles between patches and modules would keep the weights alive until the
        # garbage collector runs.
        for double in doubles.values():
            double.__dict__.clear()


def double_of(denoiser: Any, *, with_own_hooks: bool) -> tuple[Any, Doubles]:
    """A double, and the doubles of all modules inside.

    Args:
        denoiser: a model.
        with_own_hooks: whether the hooks of the denoiser module itself are copied, too. They are
            not where they run before the double does, because the denoiser itself is called. Hooks
            of the modules inside are always copied.
    """
    doubles: Doubles = {}
    denoiser_double = _made(denoiser, doubles)
    for module, double in doubles.items():
        _refer_to_doubles(double, doubles)
        registry = vars(module).get("_diffusers_hook")
        if registry is not None and registry.hooks:
            carry_over(module, double, _of_doubles(registry._fn_refs[0].forward, doubles))
    if not with_own_hooks:
        for name in HOOKS:
            vars(denoiser_double)[name] = OrderedDict()
    return denoiser_double, doubles


def _made(module: Any, doubles: Doubles) -> Any:
    """The double of a module, with doubles of its children; all are added to `doubles`."""
    if module in doubles:
        return doubles[module]
    double = doubles[module] = object.__new__(type(module))
    state = vars(double)
    state.update(vars(module))
    for name in HOOKS:
        state[name] = state[name].copy()
    state["_modules"] = {
        name: None if child is None else _made(child, doubles)
        for name, child in module._modules.items()
    }
    # Compiled code would run the module that was compiled, not the double.
    state["_compiled_call_impl"] = None
    # Flux's pipeline leaves an empty registry of hooks on the transformer. The registry caches that
    # the modules inside have none, so an accelerator's hooks on them would not be found.
    state.pop("_diffusers_hook", None)
    return double


class _Follower:
    """A hook before each pass that copies changes of the denoiser's modules to the double.

    Some pipelines exchange attention processors (PAG), or attach hooks to modules before their
    first step (SAG). A callback may change anything (`enable_freeu`, `set_adapters`, hooks): if
    there is one, all modules are checked, which takes 1 ms for SDXL's 1,930 modules. Modules are
    compared with their own earlier state, so that what accelerators changed on the double stays.
    """

    def __init__(self, denoiser: Any, doubles: Doubles, *, everything: bool) -> None:
        self._doubles = doubles
        self._attentions = [pair for pair in doubles.items() if "processor" in vars(pair[0])]
        # The denoiser's own hooks run when the denoiser itself is called.
        self._hooks_to_copy = [pair for pair in doubles.items() if pair[0] is not denoiser]
        self._last_states = [
            (original, dict(vars(original)), [(name, dict(vars(original)[name])) for name in hooks])
            for original in (doubles if everything else ())
            for hooks in [() if original is denoiser else HOOKS]
        ]

    def __call__(self, module: Any, args: Any) -> None:
        for original, double in self._attentions:
            double.processor = original.processor
        while self._hooks_to_copy:  # at the first pass
            original, double = self._hooks_to_copy.pop()
            for name in HOOKS:
                for number, hook in vars(original)[name].items():
                    vars(double)[name].setdefault(number, hook)
        for original, last, hooks in self._last_states:
            state = vars(original)
            if not _same(state, last):
                self._copy_changes(state, last, vars(self._doubles[original]))
            for name, last_hooks in hooks:
                if state[name] != last_hooks:
                    double_hooks = vars(self._doubles[original])[name]
                    _copy_hook_changes(state[name], last_hooks, double_hooks)

    def _copy_changes(self, state: Any, last: Any, double: Any) -> None:
        for name in {*state, *last} - _NOT_SEARCHED - _NOT_FOLLOWED:
            if name not in state:
                double.pop(name, None)
            elif name not in last or state[name] is not last[name]:
                double[name] = _of_doubles(state[name], self._doubles)
        last.clear()
        last.update(state)


def _copy_hook_changes(hooks: Any, last: Any, double: Any) -> None:
    for number in last.keys() - hooks.keys():
        double.pop(number, None)
    for number, hook in hooks.items():
        if number not in last:
            double[number] = hook
    last.clear()
    last.update(hooks)


def _same(state: Any, last: Any) -> bool:
    """Whether no attribute changed; dictionaries are compared by identity of values first."""
    try:
        return bool(state == last)
    except (RuntimeError, ValueError):  # raised for a tensor or an array that was exchanged
        return False


def _refer_to_doubles(double: Any, doubles: Doubles) -> None:
    """Replace modules by their doubles wherever the attributes of a double refer to them."""
    state = vars(double)
    for name, value in list(state.items()):
        if type(value) not in _SHARED and name not in _NOT_SEARCHED:
            replaced = _of_doubles(value, doubles)
            if replaced is not value:
                state[name] = replaced


def _of_doubles(value: Any, doubles: Doubles) -> Any:
    """The value with doubles in the place of modules; the value itself if it refers to none."""
    kind = type(value)
    if kind is Gate:
        return _of_doubles(value.below, doubles)
    if kind is MethodType:
        owner = _of_doubles(value.__self__, doubles)
        return value if owner is value.__self__ else MethodType(value.__func__, owner)
    if kind is partial:
        args = _of_doubles(value.args, doubles)
        keywords = _of_doubles(value.keywords, doubles)
        if args is value.args and keywords is value.keywords:
            return value
        function = partial(value.func, *args, **keywords)
        vars(function).update(vars(value))
        return function
    if kind is dict:
        entries = {key: _of_doubles(entry, doubles) for key, entry in value.items()}
        return value if all(entries[key] is entry for key, entry in value.items()) else entries
    if kind is tuple or kind is list:
        items = kind(_of_doubles(item, doubles) for item in value)
        return value if all(map(operator.is_, items, value)) else items
    if hasattr(kind, "_call_impl"):  # a torch module, which need not be one of this denoiser
        return doubles.get(value, value)
    return value
