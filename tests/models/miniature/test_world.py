"""The miniature's world: its scenes, its captions and what training never saw."""

import random
from itertools import combinations
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from tuner.models.miniature import training, world
from tuner.models.miniature.world import Scene
from tuner.prompts.miniature import FOLDER

EVERY_HUNDREDTH = world.scenes()[::100]


def attributes(scene: Scene) -> list[str]:
    """All attributes of a scene, in a fixed order."""
    words = [word for thing in scene.things for word in thing]
    return [*words, scene.ground, scene.size or ""]


def scene_of() -> dict[str, Scene]:
    return {caption: scene for scene in world.scenes() for caption in scene.captions()}


def test_a_caption_identifies_its_scene() -> None:
    assert len(scene_of()) == sum(len(scene.captions()) for scene in world.scenes())


def test_pools_share_neither_captions_nor_scenes() -> None:
    scenes = scene_of()
    for pool, other in combinations(world.pools().values(), 2):
        assert not set(pool) & set(other)
        assert not {scenes[caption] for caption in pool} & {scenes[caption] for caption in other}


def test_pools_hold_4096_captions_in_all_and_none_twice() -> None:
    captions = [caption for pool in world.pools().values() for caption in pool]
    assert {name: len(pool) for name, pool in world.pools().items()} == world.POOLS
    assert len(set(captions)) == len(captions) == 4096


def test_no_caption_of_the_pools_is_of_a_scene_that_training_sees() -> None:
    seen = {caption for scene in training.train_scenes() for caption in scene.captions()}
    assert seen
    for pool in world.pools().values():
        assert not seen & set(pool)


def test_training_sees_every_word() -> None:
    seen = {
        word
        for scene in training.train_scenes()
        for text in scene.captions()
        for word in text.split()
    }
    assert seen == set(world.WORDS)


def test_the_shipped_captions_are_the_pools() -> None:
    assert {path.stem for path in FOLDER.glob("*")} == set(world.POOLS)
    for name, captions in world.pools().items():
        assert tuple((FOLDER / f"{name}.txt").read_text().splitlines()) == captions


def test_each_word_is_one_token_and_every_caption_fits() -> None:
    words = training.tokenizer()
    ids = [words.tokenize(word) for word in world.WORDS]
    assert [len(tokens) for tokens in ids] == [1] * len(world.WORDS)
    assert len({tokens[0] for tokens in ids}) == len(world.WORDS)
    longest = max(scene_of(), key=lambda caption: len(caption.split()))
    assert len(words(longest).input_ids) <= training.CONTEXT == 16


def test_a_tokenizer_that_was_saved_reads_the_same(tmp_path: Path) -> None:
    captions = list(world.pools()["search"][:64])
    training.tokenizer().save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert training.tokenize(loaded, captions).equal(
        training.tokenize(training.tokenizer(), captions)
    )


def test_the_shipped_tokenizers_read_captions_as_training_did() -> None:
    weights = Path(world.__file__).parent / "weights"
    captions = list(world.pools()["search"][:64])
    expected = training.tokenize(training.tokenizer(), captions)
    for folder in (weights / "pipeline" / "tokenizer", weights / "scorer"):
        shipped = CLIPTokenizer.from_pretrained(folder)
        assert training.tokenize(shipped, captions).equal(expected)


@pytest.mark.parametrize("scene", EVERY_HUNDREDTH[:40], ids=lambda scene: scene.captions()[0])
def test_neighbours_differ_in_one_attribute_or_in_the_order_of_a_pair(scene: Scene) -> None:
    neighbours = world.neighbours(scene)
    known = set(world.scenes())
    assert len(set(neighbours)) == len(neighbours)
    for other in neighbours:
        assert other in known
        pairs = zip(attributes(scene), attributes(other), strict=True)
        changes = sum(value != other_value for value, other_value in pairs)
        swapped = other.things == scene.things[::-1] and len(scene.things) == 2
        assert changes == 1 or (swapped and other.ground == scene.ground)
        assert scene in world.neighbours(other)


def test_scenes_are_all_different_and_never_hide_a_thing() -> None:
    assert len(set(world.scenes())) == len(world.scenes())
    for scene in world.scenes():
        colours = [colour for colour, _ in scene.things]
        assert len({*colours, scene.ground}) == len(colours) + 1
        assert (scene.size is None) == (len(scene.things) == 2)


def test_a_picture_shows_its_ground_and_its_thing() -> None:
    for scene in EVERY_HUNDREDTH[:8]:
        picture = world.draw(scene, random.Random(1))
        assert picture.size == (world.SIDE, world.SIDE)
        corner = picture.getpixel((0, 0))
        ground = world.COLOURS[scene.ground]
        assert all(abs(a - b) <= 10 for a, b in zip(corner, ground, strict=True))
        assert len({picture.getpixel((x, 32)) for x in range(world.SIDE)}) > 1


def test_the_same_seed_draws_the_same_picture() -> None:
    first, repeated, other = (
        world.draw(EVERY_HUNDREDTH[5], random.Random(seed)).tobytes() for seed in (3, 3, 4)
    )
    assert first == repeated != other
