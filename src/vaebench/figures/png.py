"""Figures as PNG files: small, and the same bytes for the same figure."""

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image, ImageChops

from vaebench.figures.style import house_style
from vaebench.pipeline.files import whole_file


@house_style()
def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG of at most 256 colours that holds nothing but its pixels."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="raw", dpi="figure")
    picture = Image.frombytes("RGBA", figure.canvas.get_width_height(), pixels.getvalue()).convert("RGB")
    with whole_file(path) as temporary:
        _reduced(picture).save(temporary, format="PNG", optimize=True)


def _reduced(picture: Image.Image) -> Image.Image:
    """Return the picture in greys or with a palette: a third of the bytes, and no difference to the eye."""
    red, green, blue = picture.split()
    if any(ImageChops.difference(red, other).getbbox() for other in (green, blue)):
        # Median cut, the default, would shift the colours of the digits by more than the eye forgives.
        return picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    return red
