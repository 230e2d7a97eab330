"""The arrays behind the pictures: what comes back from the file, and equal bytes for equal arrays."""

import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vaebench.pictures import Pictures, load_pictures, save_pictures
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
