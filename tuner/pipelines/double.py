"""A denoiser's double: modules of its own over the same weights, to be patched for one call.

Accelerators change the modules that they speed up. On a double nobody else can see it: a second
pipeline or another thread goes on with the denoiser itself, what others hung on that stays there,
and there is nothing to undo, however a call ends. No tensor is copied.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import MethodType, NoneType
from typing import Any

from tuner.pipelines.gate import Gate
from tuner.pipelines.hooks import carry_over

Doubles = dict[Any, Any]  # a module -> its double

# What a module runs when it is called. A double has lists of its own, so that hooks stay on it.
_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
# Shared as they are. Of the dictionaries the same objects: whoever moves weights to another
# device moves them for both.
_SHARED = frozenset({bool, int, float, complex, str, bytes, NoneType, set, OrderedDict})
_OWN = frozenset({"_parameters", "_buffers", "_modules", *_HOOKS})
# What stands around a module's forward stays on the module, whoever puts it there in mid-call.
_STAYS = frozenset(
    {"forward", "_old_forward", "_hf_hook", "_diffusers_hook", "_compiled_call_impl"}
)


@contextmanager
def doubled(denoiser: Any, *, follow: bool = False) -> Iterator[Any]:
    """A double for the length of a ``with`` block; it is of no use afterwards.

    The denoiser's own hooks are not on it: they run when the denoiser itself is called.

    Args:
        denoiser: a model.
        follow: whether somebody may change its modules between two passes.
    """
    doubles: Doubles = {}
    double = _made(denoiser, doubles)
    for module, one in doubles.items():
        _refer_to_doubles(one, doubles)
        registry = vars(module).get("_diffusers_hook")
        if registry is not None and registry.hooks:
            carry_over(module, one, _of_doubles(registry._fn_refs[0].forward, doubles))
    for name in _HOOKS:
        vars(double)[name] = OrderedDict()
    double.register_forward_pre_hook(_Follower(denoiser, doubles, everything=follow))
    try:
        yield double
    finally:
        # Patches and modules refer to one another in circles, and would keep the weights alive
        # until the garbage collector comes.
        for one in doubles.values():
            one.__dict__.clear()


def _made(module: Any, doubles: Doubles) -> Any:
    if module in doubles:
        return doubles[module]
    double = doubles[module] = object.__new__(type(module))
    state = vars(double)
    state.update(vars(module))
    for name in _HOOKS:
        state[name] = state[name].copy()
    state["_modules"] = {
        name: None if child is None else _made(child, doubles)
        for name, child in module._modules.items()
    }
    # Compiled code would run what it was compiled from, which is not the double.
    state["_compiled_call_impl"] = None
    # Flux's pipeline leaves an empty registry of hooks on the module. An accelerator's hooks on the
    # modules below would not be found through it: it has kept that there were none.
    state.pop("_diffusers_hook", None)
    return double


class _Follower:
    """A hook before each pass that takes over what changed on the denoiser's modules meanwhile.

    Some pipelines exchange attention processors (PAG), or hang hooks on modules before their first
    step (SAG). A callback may do anything (`enable_freeu`, `set_adapters`, hooks): with one, all
    modules are compared, which takes 1 ms of SDXL's 1,930. What accelerators put on the double
    stays, because modules are compared with what they were themselves.
    """

    def __init__(self, denoiser: Any, doubles: Doubles, *, everything: bool) -> None:
        self._doubles = doubles
        self._attentions = [one for one in doubles.items() if "processor" in vars(one[0])]
        # The denoiser's own hooks run when the denoiser itself is called.
        self._unseen = [one for one in doubles.items() if one[0] is not denoiser]
        self._known = [
            (own, dict(vars(own)), [(name, dict(vars(own)[name])) for name in taken])
            for own in (doubles if everything else ())
            for taken in [() if own is denoiser else _HOOKS]
        ]

    def __call__(self, module: Any, args: Any) -> None:
        for own, double in self._attentions:
            double.processor = own.processor
        while self._unseen:  # at the first pass
            own, double = self._unseen.pop()
            for name in _HOOKS:
                for number, hook in vars(own)[name].items():
                    vars(double)[name].setdefault(number, hook)
        for own, known, hooks in self._known:
            state = vars(own)
            if not _same(state, known):
                self._take_over(state, known, vars(self._doubles[own]))
            for name, before in hooks:
                if state[name] != before:
                    _take_over_hooks(state[name], before, vars(self._doubles[own])[name])

    def _take_over(self, state: Any, known: Any, double: Any) -> None:
        for name in {*state, *known} - _OWN - _STAYS:
            if name not in state:
                double.pop(name, None)
            elif name not in known or state[name] is not known[name]:
                double[name] = _of_doubles(state[name], self._doubles)
        known.clear()
        known.update(state)


def _take_over_hooks(hooks: Any, known: Any, double: Any) -> None:
    for number in known.keys() - hooks.keys():
        double.pop(number, None)
    for number, hook in hooks.items():
        if number not in known:
            double[number] = hook
    known.clear()
    known.update(hooks)


def _same(state: Any, known: Any) -> bool:
    """Whether all attributes are the same; a dictionary looks at identity first, and fast."""
    try:
        return bool(state == known)
    except (RuntimeError, ValueError):  # of a tensor or an array that was exchanged
        return False


def _refer_to_doubles(double: Any, doubles: Doubles) -> None:
    """Give a double's attributes the doubles in the place of the modules that they refer to."""
    state = vars(double)
    for name, value in list(state.items()):
        if type(value) not in _SHARED and name not in _OWN:
            found = _of_doubles(value, doubles)
            if found is not value:
                state[name] = found


def _of_doubles(value: Any, doubles: Doubles) -> Any:
    """The same with doubles for modules; the value itself where it refers to none."""
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
        made = partial(value.func, *args, **keywords)
        vars(made).update(vars(value))
        return made
    if kind is dict:
        found = {key: _of_doubles(one, doubles) for key, one in value.items()}
        return value if all(found[key] is one for key, one in value.items()) else found
    if kind is tuple or kind is list:
        items = kind(_of_doubles(one, doubles) for one in value)
        return value if all(map(_is, items, value)) else items
    if hasattr(kind, "_call_impl"):  # a torch module, which may be in no set of doubles
        return doubles.get(value, value)
    return value


def _is(one: Any, other: Any) -> bool:
    return one is other
