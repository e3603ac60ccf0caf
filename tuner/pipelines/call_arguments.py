"""The arguments with which a study calls its pipeline: one value for all prompts, or for each."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from tuner.errors import UsageError
from tuner.size import Size

PIXELS = ("height", "width")
# Arguments that have a place of their own among what tells studies apart.
NAMED_APART = ("guidance_scale", "negative_prompt", *PIXELS)
STEP_LISTS = ("timesteps", "sigmas")
SHORT = 80  # characters of a text, or items of a list, that are named as they are


@dataclass(frozen=True, kw_only=True)
class CallArguments:
    """Arguments of a pipeline's call, apart from prompts, noise and the form of its output.

    Texts and pictures, the arguments with "prompt" or "image" in their names, may differ from
    prompt to prompt. All others have one value, which is passed as it is.
    """

    common: Mapping[str, Any] = field(default_factory=dict)  # one value for all prompts
    each: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # by the number of the prompt

    @classmethod
    def of(
        cls, arguments: Mapping[str, Any], prompts: int | None, lists: Collection[str] = ()
    ) -> Self:
        """Tell which arguments have one value, and which have one for each prompt.

        A list for a text or a picture has one item for each prompt, and must be as long as the list
        of prompts. If the pipeline itself takes a list as one value (several ControlNets or
        IP-Adapters take a picture each), one value for each prompt is a list of such lists.

        Args:
            arguments: by name.
            prompts: the number of all prompts; None if the set of prompts is not a list.
            lists: the arguments of which one value is a list.

        Raises:
            UsageError: a list has another length.
        """
        common: dict[str, Any] = {}
        each: dict[str, Sequence[Any]] = {}
        for name, value in arguments.items():
            if not _is_one_for_each(name, value, name in lists):
                common[name] = value
                continue
            if prompts is None:
                raise UsageError(
                    f"{name} is a list with one value for each prompt, so set prompts to a list or "
                    "a file too, or give one value for all prompts",
                    key=("call", name),
                )
            if len(value) != prompts:
                raise UsageError(
                    f"{name} has {len(value)} values for {prompts} prompts; give one value for all "
                    "prompts, or a list with one for each",
                    key=("call", name),
                )
            each[name] = tuple(value)
        return cls(common=common, each=each)

    @property
    def lists_steps(self) -> bool:
        """Whether the call lists the steps themselves, so that their number cannot be another."""
        return any(self.common.get(name) is not None for name in STEP_LISTS)

    def chosen(self, places: Sequence[int]) -> Self:
        """The arguments of some of the prompts, in this order."""
        each = {name: [values[place] for place in places] for name, values in self.each.items()}
        return replace(self, each=each)

    def changed(self, **values: Any) -> Self:
        """The same arguments with other values for all prompts."""
        return replace(self, common={**self.common, **values})

    def of_batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """What the pipeline's call takes for a batch of prompts with these numbers.

        A text is repeated for each of them, as diffusers wants it.
        """
        arguments = {
            name: [value] * len(numbers) if _is_text(name, value) else value
            for name, value in self.common.items()
        }
        for name, values in self.each.items():
            batch = [values[number] for number in numbers]
            arguments[name] = batch[0] if is_of_whole_batch(name) else batch
        return arguments

    def check_batches(self, size: int) -> None:
        """Check that batches of this size can have the arguments that differ by prompt.

        Raises:
            UsageError: diffusers takes one of them for a whole batch only.
        """
        for name in self.each:
            if size > 1 and is_of_whole_batch(name):
                raise UsageError(
                    f"diffusers takes one {name} for a whole batch; set batch_size to 1, or give "
                    "one value for all prompts",
                    key=("batch_size",),
                )

    def described(self, steps: int) -> dict[str, Any]:
        """What tells this call from others, of all prompts alike, in values that JSON can hold.

        Pictures and tensors are named by digests of their contents. Arguments of `NAMED_APART` are
        left out, and the number of steps where it is `steps`, the number that runs.
        """
        apart = {name: self.common[name] for name in NAMED_APART if name in self.common}
        if self.common.get("num_inference_steps") == steps:
            apart["num_inference_steps"] = steps
        return {
            name: in_json(name, value)
            for name, value in sorted(self.common.items())
            if name not in apart
        }

    def described_each(self, numbers: Sequence[int]) -> str | None:
        """A digest of the values of these prompts; None if no argument differs by prompt."""
        if not self.each:
            return None
        values = {
            name: [in_json(name, values[number]) for number in numbers]
            for name, values in sorted(self.each.items())
        }
        return f"{', '.join(values)} {_digest(repr(values).encode())}"


def text_to_image(
    *, steps: int, guidance_scale: float, size: Size, negative_prompt: str | None = None
) -> CallArguments:
    """The arguments with which a known model draws pictures from prompts."""
    common: dict[str, Any] = {
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "height": size.height,
        "width": size.width,
    }
    if negative_prompt is not None:
        common["negative_prompt"] = negative_prompt
    return CallArguments(common=common)


def is_of_whole_batch(name: str) -> bool:
    """Whether diffusers takes one value of an argument for all pictures of a batch."""
    return name.startswith("ip_adapter_")


def is_picture(name: str) -> bool:
    """Whether an argument is a picture, or a list of them, by its name."""
    return "image" in name and not name.endswith(("_embeds", "_scale", "_prompt", "_size"))


def in_json(name: str, value: Any) -> Any:
    """A value as JSON can hold it, equal for equal values only; large ones become digests.

    Raises:
        UsageError: equal values cannot be told from different ones.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return (
            value if len(value) <= SHORT else f"{len(value)} characters {_digest(value.encode())}"
        )
    if isinstance(value, Mapping):
        return {str(key): in_json(name, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        items = [in_json(name, item) for item in value]
        short = len(items) <= SHORT
        return items if short else f"{len(items)} values {_digest(repr(items).encode())}"
    return _of_array(name, value)


def _of_array(name: str, value: Any) -> str:
    """Shape and digest of a picture, an array or a tensor."""
    if hasattr(value, "tobytes") and hasattr(value, "mode"):  # PIL's
        return f"{value.width}x{value.height} {value.mode} {_digest(value.tobytes())}"
    if hasattr(value, "detach"):
        value = value.detach().cpu().contiguous()
        kind = str(value.dtype).removeprefix("torch.")
        value = value.float().numpy()
    elif hasattr(value, "tobytes") and hasattr(value, "dtype"):
        kind = str(value.dtype)
    else:
        raise UsageError(
            f"{name} has the type {type(value).__name__}, and the tuner cannot tell whether two "
            "of those are the same; give a number, a text, a picture, an array or a tensor",
            key=("call", name),
        )
    shape = "x".join(map(str, value.shape))
    return f"{shape} {kind} {_digest(value.tobytes())}"


def _digest(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()[:12]


def _is_text(name: str, value: Any) -> bool:
    return "prompt" in name and isinstance(value, str)


def _is_one_for_each(name: str, value: Any, is_list: bool) -> bool:
    """Whether a value is one for each prompt; `is_list`: one value of this argument is a list."""
    differs = is_picture(name) or ("prompt" in name and not name.endswith("_embeds"))
    if not differs or not isinstance(value, list | tuple):
        return False
    return not is_list or any(isinstance(item, list | tuple) for item in value)
