"""The pictures of a training: they show what the model makes, and leave it alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator

from vaebench.data.dataset import Dataset
from vaebench.models.vae import VAE
from vaebench.tracking.strip import CELL, MARGIN, ROWS, SCALE, SHOWN, Strip

Make = Callable[[int, int], VAE]


@pytest.mark.usefixtures("global_rng_untouched")
def test_rows_are_what_the_model_made_after_each_epoch(
    tiny_vae: Make, digits: Dataset, tmp_path: Path
) -> None:
    vae, test = tiny_vae(3, 0), digits.test.images
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    strip = Strip(vae, test, epochs=2)
    latents = torch.randn(SHOWN, 3, generator=Generator().manual_seed(0))
    expected = [test[:SHOWN]]
    for epoch in strip.follow("ab"):
        expected.append(torch.cat([vae.decode(vae.encode(test[:SHOWN]).mean), vae.decode(latents)]))
        assert epoch in "ab"
        with torch.no_grad():
            vae.get_parameter("decoder.0.bias").add_(1.0)  # it learns
    strip.save(tmp_path / "strip.png")
    assert all(parameter.grad is None for parameter in vae.parameters())
    assert [name for name, tensor in vae.state_dict().items() if not torch.equal(tensor, before[name])] == [
        "decoder.0.bias"
    ]

    with Image.open(tmp_path / "strip.png") as picture:
        drawn = np.asarray(picture)
    assert drawn.shape == (3 * CELL, MARGIN + CELL // 2 + 2 * SHOWN * CELL)
    for row, images in enumerate(expected):
        for column, image in enumerate((images.detach() * 255).round().to(torch.uint8).squeeze(1).numpy()):
            left = MARGIN + column * CELL + (CELL // 2 if column >= SHOWN else 0)
            top = row * CELL + 2
            cell = drawn[top : top + 28 * SCALE, left : left + 28 * SCALE]
            assert np.array_equal(cell, image.repeat(SCALE, 0).repeat(SCALE, 1))


@pytest.mark.parametrize(("epochs", "rows"), [(1, 1), (ROWS, ROWS), (10_000, ROWS)])
def test_of_many_epochs_some_are_shown(
    tiny_vae: Make, digits: Dataset, tmp_path: Path, epochs: int, rows: int
) -> None:
    strip = Strip(tiny_vae(2, 0), digits.test.images, epochs)
    assert list(strip.follow(range(epochs))) == list(range(epochs))
    names = [name for name, _ in strip._rows]
    assert (len(names), names[1], names[-1]) == (rows + 1, "epoch 1", f"epoch {epochs}")
    strip.save(tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as picture:
        assert picture.height == (rows + 1) * CELL
