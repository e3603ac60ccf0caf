"""Albums and pictures of an artifact folder: damaged, bombs, or links out of the folder."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import strategies as st
from optuna.artifacts.exceptions import ArtifactNotFound
from PIL import Image

from tests.fuzz.bounds import INPUTS, bounded, fuzz
from tests.fuzz.hostile import TEXTS, damaged, json_of, mangled
from tests.helpers.pictured import picture
from tuner.errors import UsageError
from tuner.pictures.album import CONTENTS, Entry, packed, unpacked
from tuner.pictures.thumbnails import decoded, encoded
from tuner.storage.artifact_folder import ArtifactFolder

ENTRY = {"number": 0, "prompt": "a cat", "score": 30.0, "baseline_score": 31.0, "baseline_key": "k"}
WEBP = encoded(picture(1))
ALBUM = packed([Entry(webp=WEBP, **ENTRY)])  # type: ignore[arg-type]
ID = "12345678-1234-1234-1234-123456789abc"


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


contents = damaged([ENTRY | {"file": "0"}]).map(lambda entries: json_of(entries).encode())
albums = st.one_of(
    mangled(ALBUM),
    st.binary(max_size=100),
    contents.map(lambda text: zipped(**{CONTENTS: text, "0": WEBP})),
)


@INPUTS
def test_any_album_gives_pictures_or_a_value_error(inputs: int) -> None:
    fuzz(inputs, albums, _entries)


@INPUTS
def test_any_picture_is_read_or_a_value_error(inputs: int) -> None:
    png = io.BytesIO()
    picture(1).save(png, "PNG")
    fuzz(inputs, st.one_of(mangled(WEBP), mangled(png.getvalue())), _picture)


def test_a_zip_bomb_and_a_picture_of_too_many_pixels_are_not_expanded() -> None:
    text = json_of([ENTRY | {"file": "0"}]).encode()
    bomb = zipped(**{CONTENTS: text, "0": b"\0" * 20_000_000})
    png = io.BytesIO()
    Image.new("1", (8000, 8000)).save(png, "PNG")
    with bounded():
        with pytest.raises(ValueError, match="0 is too large"):
            unpacked(bomb)
        with pytest.raises(ValueError, match="it has 8000 × 8000 pixels"):
            decoded(png.getvalue())


@pytest.mark.parametrize("name", [*TEXTS, "id_rsa", "..", ID.upper(), f"{ID}/../x", f"{ID}\n"])
def test_only_names_of_artifacts_are_opened_written_and_removed(name: str, tmp_path: Path) -> None:
    (tmp_path / "id_rsa").write_text("secret")
    folder = ArtifactFolder(tmp_path)
    with pytest.raises(ArtifactNotFound):
        folder.open_reader(name)
    with pytest.raises(ArtifactNotFound):
        folder.write(name, io.BytesIO(b"x"))
    with pytest.raises(ArtifactNotFound):
        folder.remove(name)
    assert [path.name for path in tmp_path.iterdir()] == ["id_rsa"]


def test_links_and_pipes_in_a_folder_of_artifacts_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = ArtifactFolder(tmp_path)
    (tmp_path / ID).symlink_to(secret)
    with pytest.raises(ArtifactNotFound):
        folder.open_reader(ID)
    (tmp_path / ID).unlink()
    (tmp_path / ID).mkdir()
    with pytest.raises(ArtifactNotFound, match="is not a regular file"):
        folder.open_reader(ID)


def _entries(album: bytes) -> None:
    try:
        for entry in unpacked(album):
            _picture(entry.webp)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _picture(data: bytes) -> None:
    try:
        decoded(data)
    except ValueError as error:
        raise UsageError(" ".join(str(error).split())) from error
