"""What a model makes of the same images and latents, epoch after epoch: a picture of how it learns."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image, ImageDraw
from torch import Generator, Tensor

from vaebench.models.vae import VAE

SHOWN = 8  # test images, and as many samples
ROWS = 12  # epochs at most
SCALE = 2  # screen pixels of a pixel
CELL = 28 * SCALE + 4
MARGIN = 72  # for the number of the epoch
INK, PAPER = 40, 255

AnyEpoch = TypeVar("AnyEpoch")


class Strip:
    """Rows of pictures that are taken while a model trains, and change nothing of it."""

    def __init__(self, vae: VAE, images: Tensor, epochs: int) -> None:
        """Choose what is shown.

        Args:
            vae: the model, which is trained in place.
            images: images to reconstruct, (N, 1, 28, 28), float32 in [0, 1]; the first `SHOWN` are.
            epochs: how long it is trained. Of many, some are shown, the first and the last among them.
        """
        device = next(vae.parameters()).device
        self._vae = vae
        self._images = images[:SHOWN].to(device)
        noise = torch.randn(SHOWN, vae.latent_dim, generator=Generator().manual_seed(0))
        self._latents = noise.to(device)
        rows = min(epochs, ROWS)
        self._taken = {1 + round(row * (epochs - 1) / max(rows - 1, 1)) for row in range(rows)}
        self._rows = [("images", [*self._images.cpu()])]

    def follow(self, training: Iterable[AnyEpoch]) -> Iterator[AnyEpoch]:
        """Pass the epochs of a training on, and take a row after those that are shown."""
        for number, epoch in enumerate(training, 1):
            if number in self._taken:
                with torch.no_grad():
                    reconstructions = self._vae.decode(self._vae.encode(self._images).mean)
                    samples = self._vae.decode(self._latents)
                self._rows.append((f"epoch {number}", [*reconstructions.cpu(), *samples.cpu()]))
            yield epoch

    def save(self, path: Path) -> None:
        """Write a PNG: on the left images and their reconstructions, on the right samples of the prior."""
        gap = CELL // 2
        size = (MARGIN + gap + 2 * SHOWN * CELL, CELL * len(self._rows))
        strip = Image.new("L", size, PAPER)
        draw = ImageDraw.Draw(strip)
        for row, (name, images) in enumerate(self._rows):
            draw.text((6, row * CELL + CELL // 2 - 8), name, fill=INK, font_size=14)
            for column, image in enumerate(images):
                pixels = (image.squeeze(0) * 255).round().to(torch.uint8).numpy()
                picture = Image.fromarray(pixels).resize((28 * SCALE, 28 * SCALE), Image.Resampling.NEAREST)
                left = MARGIN + column * CELL + (gap if column >= SHOWN else 0)
                strip.paste(picture, (left, row * CELL + 2))
        draw.text(
            (MARGIN + SHOWN * CELL + gap, CELL // 2 - 8), "samples of the prior:", fill=INK, font_size=14
        )
        strip.save(path, format="PNG", optimize=True)
