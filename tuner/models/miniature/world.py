"""The small world that the miniature was trained on: coloured shapes on coloured grounds.

A scene is either one shape with a size ("a small red circle on a blue ground") or two shapes side
by side ("a red circle left of a green square on a white ground"). About a third of all scenes is
held out of training; their captions are the miniature's prompt set.
"""

import random
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import product

from PIL import Image, ImageDraw

SIDE = 64  # pixels
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 180, 40),
    "blue": (30, 50, 220),
    "yellow": (240, 225, 30),
    "cyan": (40, 215, 225),
    "magenta": (225, 40, 210),
    "white": (245, 245, 245),
    "black": (12, 12, 12),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SIZES = {"small": 9.0, "large": 20.0}  # half of the width, in pixels
PAIR_SIZE = 12.5
HELD_OUT_SHARE = 0.36
POOLS = {"search": 1024, "verify": 1024, "truth": 2048}
WORDS = ("a", "on", "ground", "left", "right", "of", *SIZES, *COLOURS, *SHAPES)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a picture shows; `things` are (colour, shape) from left to right."""

    things: tuple[tuple[str, str], ...]
    ground: str
    size: str | None = None  # of a single thing

    def captions(self) -> tuple[str, ...]:
        """All captions of the scene: one for a single thing, two for a pair."""
        ground = f"on a {self.ground} ground"
        (colour, shape), *others = self.things
        if not others:
            return (f"a {self.size} {colour} {shape} {ground}",)
        (colour_2, shape_2) = others[0]
        return (
            f"a {colour} {shape} left of a {colour_2} {shape_2} {ground}",
            f"a {colour_2} {shape_2} right of a {colour} {shape} {ground}",
        )

    @property
    def held_out(self) -> bool:
        """Whether the scene is excluded from training, with all of its captions."""
        return _unit_hash(self.captions()[0]) < HELD_OUT_SHARE


@cache
def scenes() -> tuple[Scene, ...]:
    """All scenes of the world in a fixed order, first those with a single thing."""
    things = tuple(product(COLOURS, SHAPES))
    singles = [
        Scene(things=((colour, shape),), ground=ground, size=size)
        for size, (colour, shape), ground in product(SIZES, things, COLOURS)
        if colour != ground
    ]
    pairs = [
        Scene(things=(left, right), ground=ground)
        for left, right, ground in product(things, things, COLOURS)
        if len({left[0], right[0], ground}) == 3
    ]
    return (*singles, *pairs)


def neighbours(scene: Scene) -> list[Scene]:
    """The scenes that differ from this one in a single attribute, or in the order of a pair."""
    changed = [_swap(scene)] if len(scene.things) == 2 else [_resize(scene)]
    for index, (colour, shape) in enumerate(scene.things):
        taken = {other for other, _ in scene.things} | {scene.ground}
        changes = [(new, shape) for new in COLOURS if new not in taken]
        changes += [(colour, new) for new in SHAPES if new != shape]
        for change in changes:
            things = (*scene.things[:index], change, *scene.things[index + 1 :])
            changed.append(Scene(things=things, ground=scene.ground, size=scene.size))
    taken = {colour for colour, _ in scene.things} | {scene.ground}
    changed += [
        Scene(things=scene.things, ground=new, size=scene.size)
        for new in COLOURS
        if new not in taken
    ]
    return changed


def pools() -> dict[str, tuple[str, ...]]:
    """The held-out captions, in three pools that have no caption and no scene in common."""
    held_out = [scene for scene in scenes() if scene.held_out]
    random.Random(0).shuffle(held_out)
    captions_of: dict[str, tuple[str, ...]] = {}
    remaining = iter(held_out)
    for name, count in POOLS.items():
        captions: list[str] = []
        while len(captions) < count:
            captions.extend(next(remaining).captions())
        captions = captions[:count]
        random.Random(name).shuffle(captions)
        captions_of[name] = tuple(captions)
    return captions_of


def draw(scene: Scene, rng: random.Random) -> Image.Image:
    """Draw a scene as a 64x64 RGB picture; `rng` varies place, size and colours a little."""
    scale = 4  # drawn larger and shrunk, for smooth edges
    image = Image.new("RGB", (SIDE * scale, SIDE * scale), _tint(scene.ground, rng))
    canvas = ImageDraw.Draw(image)
    pair = len(scene.things) == 2
    for index, (colour, shape) in enumerate(scene.things):
        half = (PAIR_SIZE if pair else SIZES[scene.size or "small"]) * rng.uniform(0.92, 1.08)
        middle = (17.0, 47.0)[index] if pair else 32.0
        spread = 1.5 if pair else 5.0
        x = middle + rng.uniform(-spread, spread)
        y = 32.0 + rng.uniform(-5.0, 5.0)
        _draw_shape(canvas, shape, x * scale, y * scale, half * scale, _tint(colour, rng))
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def _draw_shape(
    canvas: ImageDraw.ImageDraw,
    shape: str,
    x: float,
    y: float,
    half: float,
    colour: tuple[int, int, int],
) -> None:
    box = (x - half, y - half, x + half, y + half)
    arm = half * 0.36
    if shape == "circle":
        canvas.ellipse(box, fill=colour)
    elif shape == "square":
        side = half * 0.92
        canvas.rectangle((x - side, y - side, x + side, y + side), fill=colour)
    elif shape == "triangle":
        canvas.polygon([(x, y - half), (x - half, y + half), (x + half, y + half)], fill=colour)
    elif shape == "cross":
        canvas.rectangle((x - arm, y - half, x + arm, y + half), fill=colour)
        canvas.rectangle((x - half, y - arm, x + half, y + arm), fill=colour)
    elif shape == "ring":
        canvas.ellipse(box, outline=colour, width=round(half * 0.42))
    else:
        raise ValueError(f"unknown shape {shape!r}; known: {', '.join(SHAPES)}")


def _tint(colour: str, rng: random.Random) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, c + rng.randint(-10, 10))) for c in COLOURS[colour])
    return red, green, blue


def _swap(scene: Scene) -> Scene:
    return Scene(things=scene.things[::-1], ground=scene.ground)


def _resize(scene: Scene) -> Scene:
    other = next(size for size in SIZES if size != scene.size)
    return Scene(things=scene.things, ground=scene.ground, size=other)


def _unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, on every machine."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64
