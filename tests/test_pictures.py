"""The arrays behind the pictures: what comes back from the file, and equal bytes for equal arrays."""

import re
import zipfile
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vaebench.evaluation.pictures import Pictures, load_pictures, save_pictures
from vaebench.pipeline.files import UnusableFileError, whole_file


@pytest.fixture
def pictures() -> Pictures:
    generator = np.random.default_rng(0)

    def pixels(*shape: int) -> NDArray[np.uint8]:
        return generator.integers(0, 256, (*shape, 28, 28), dtype=np.uint8)

    def digits(*shape: int) -> NDArray[np.uint8]:
        return generator.integers(0, 10, shape, dtype=np.uint8)

    return Pictures(
        originals=pixels(15),
        reconstructions=pixels(15),
        original_labels=digits(15),
        samples=pixels(64),
        interpolations=pixels(5, 11),
        interpolation_labels=digits(5, 2),
        latent=generator.standard_normal((40, 3), dtype=np.float32),
        labels=digits(40),
        explained_variance=generator.random(3, dtype=np.float32),
        probabilities=generator.random((64, 10), dtype=np.float32),
        marginal=generator.random(10, dtype=np.float32),
        test_marginal=generator.random(10, dtype=np.float32),
        latent_centre=generator.standard_normal(5, dtype=np.float32),
        latent_axes=generator.standard_normal((5, 3), dtype=np.float32),
        confusion=generator.integers(0, 100, (10, 10)),
    )


def test_round_trip(tmp_path: Path, pictures: Pictures) -> None:
    save_pictures(tmp_path / "d5.npz", pictures)
    loaded = load_pictures(tmp_path / "d5.npz")
    for field in fields(Pictures):
        saved, read = getattr(pictures, field.name), getattr(loaded, field.name)
        assert (read.dtype, read.shape) == (saved.dtype, saved.shape), field.name
        assert np.array_equal(read, saved), field.name
    assert np.array_equal(loaded.originals, pictures.originals)
    assert not np.array_equal(loaded.originals, loaded.reconstructions)


@pytest.mark.parametrize("name", ["d5.npz", "d5", "d5.tmp"])
def test_file_has_the_name_it_was_given(tmp_path: Path, pictures: Pictures, name: str) -> None:
    with whole_file(tmp_path / name) as temporary:
        save_pictures(temporary, pictures)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert np.array_equal(load_pictures(tmp_path / name).samples, pictures.samples)


def test_equal_arrays_are_equal_bytes(tmp_path: Path, pictures: Pictures) -> None:
    save_pictures(tmp_path / "one.npz", pictures)
    save_pictures(tmp_path / "other.npz", load_pictures(tmp_path / "one.npz"))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.npz") as archive:  # no clock in the file
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


def test_missing_array_is_an_error(tmp_path: Path, pictures: Pictures) -> None:
    save_pictures(tmp_path / "d5.npz", pictures)
    with np.load(tmp_path / "d5.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "test_marginal"}
    np.savez(tmp_path / "old.npz", **arrays)
    with pytest.raises(UnusableFileError, match=r"old\.npz: .*test_marginal"):
        load_pictures(tmp_path / "old.npz")


def test_nothing_is_unpickled(tmp_path: Path, pictures: Pictures) -> None:
    save_pictures(tmp_path / "d5.npz", pictures)
    with np.load(tmp_path / "d5.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["samples"] = np.array([print], dtype=object)
    np.savez(tmp_path / "foreign.npz", **arrays)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_pictures(tmp_path / "foreign.npz")


def spoiled(pictures: Pictures, **changes: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    return {**asdict(pictures), **changes}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"samples": np.zeros((63, 28, 28), np.uint8)},
            "samples must be uint8 (64, 28, 28), is uint8 (63, 28, 28)",
        ),
        ({"samples": np.zeros((64, 28, 28), np.float32)}, "samples must be uint8 (64, 28, 28), is float32"),
        (
            {"originals": np.zeros((15, 784), np.uint8)},
            "originals must be uint8 (15, 28, 28), is uint8 (15, 784)",
        ),
        ({"labels": np.zeros(39, np.uint8)}, "labels must be uint8 (40,), is uint8 (39,)"),
        ({"labels": np.full(40, 10, np.uint8)}, "labels must be digits from 0 to 9"),
        (
            {"interpolation_labels": np.zeros((4, 2), np.uint8)},
            "interpolation_labels must be uint8 (5, 2), is",
        ),
        ({"explained_variance": np.zeros(2, np.float32)}, "explained_variance must be float32 (3,), is"),
        (
            {"latent_axes": np.zeros((4, 3), np.float32)},
            "latent_axes must be float32 (5, 3), is float32 (4, 3)",
        ),
        ({"marginal": np.full(10, np.nan, np.float32)}, "marginal holds NaN or infinity"),
        ({"confusion": np.zeros((10, 10), np.int32)}, "confusion must be int64 (10, 10), is int32 (10, 10)"),
        ({"more": np.zeros(1)}, "holds other arrays than it must: more"),
    ],
)
def test_array_of_another_shape_or_type_is_refused(
    tmp_path: Path, pictures: Pictures, changes: dict[str, NDArray[np.generic]], problem: str
) -> None:
    path = tmp_path / "d5.npz"
    np.savez(path, **spoiled(pictures, **changes))  # type: ignore[arg-type]
    with pytest.raises(UnusableFileError, match=rf"^{path}: {re.escape(problem)}"):
        load_pictures(path)


def test_pictures_of_another_model_are_refused(tmp_path: Path, pictures: Pictures) -> None:
    path = tmp_path / "d10.npz"
    save_pictures(path, pictures)
    assert load_pictures(path, 5).latent_centre.shape == (5,)
    with pytest.raises(UnusableFileError, match=r"latent_centre must be float32 \(10,\), is float32 \(5,\)$"):
        load_pictures(path, 10)


@pytest.mark.parametrize("length", [0, 1, 4, 100, -1, -100])
def test_truncated_file_is_one_line(tmp_path: Path, pictures: Pictures, length: int) -> None:
    path = tmp_path / "d5.npz"
    save_pictures(path, pictures)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UnusableFileError, match=rf"^{path}: is no file of arrays \(.*\)$"):
        load_pictures(path)


@pytest.mark.parametrize("place", range(0, 2000, 97))
def test_changed_byte_is_no_other_error(tmp_path: Path, pictures: Pictures, place: int) -> None:
    path = tmp_path / "d5.npz"
    save_pictures(path, pictures)
    content = bytearray(path.read_bytes())
    content[-place - 1] ^= 0xFF
    path.write_bytes(content)
    with suppress(UnusableFileError):  # some bytes do not matter
        load_pictures(path)


def test_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "d5.npy", np.zeros(3))
    with pytest.raises(UnusableFileError, match="is no file of arrays"):
        load_pictures(tmp_path / "d5.npy")
