"""Where the digits come from: MNIST's mirrors, or the small set that scikit-learn carries."""

import base64
import gzip
import hashlib
import math
import os
import time
from http.client import HTTPException, HTTPMessage, InvalidURL
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vaebench.pipeline.cache import SETTING as CACHE_SETTING
from vaebench.pipeline.cache import cache_folder
from vaebench.pipeline.files import whole_file
from vaebench.pipeline.origin import repository_root
from vaebench.pipeline.stage import StageError, say

MIRROR_SETTING = "VAEBENCH_MNIST_MIRROR"
TIMEOUT = 20.0  # seconds without an answer
PAUSES = (0.5, 1.0)  # seconds before the second and the third attempt on one mirror

# Size in bytes and SHA-256 of each file; torchvision pins MD5 sums only.
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}

Mirror = str | Path  # the URL or the folder that holds the four files


class _NotHadError(Exception):
    """An attempt that gave no file: why, and whether the same mirror may do better the next time."""

    def __init__(self, reason: str, *, retry: bool) -> None:
        super().__init__(reason)
        self.retry = retry


def fetch_mnist() -> dict[str, Tensor]:
    """Fetch MNIST from torchvision's mirrors, or from the one that VAEBENCH_MNIST_MIRROR names.

    What comes from a URL is kept in the user's cache, and taken from there the next time.

    Returns:
        The arrays that `vaebench.data.dataset.save_dataset` takes: 60,000 training and 10,000 test digits.

    Raises:
        StageError: a file cannot be had, or is not the published one; the message says what to do.
    """
    mirrors = _mirrors_set()
    cache = None if any(isinstance(mirror, Path) for mirror in mirrors) else cache_folder() / "mnist"
    writable = True  # until it proves not to be
    arrays: dict[str, Tensor] = {}
    for name in MNIST_FILES:
        content = cache and _kept(cache, name)
        source: Mirror | None = cache
        if not content:
            # The next file starts where this one was found: a dead mirror is waited for once, not four times.
            mirrors = mirrors or _public_mirrors()
            content, source = _fetch(name, mirrors)
            mirrors = [source, *(other for other in mirrors if other != source)]
            if cache and writable:
                writable = _keep(cache, name, content)
        say(f"MNIST: {name}, {len(content):,} bytes from {source}")
        split = "train" if name.startswith("train") else "test"
        arrays[f"{split}_{'images' if 'images' in name else 'labels'}"] = _read_idx(name, content)
    return arrays


def make_digits() -> dict[str, Tensor]:
    """Make MNIST-like arrays of scikit-learn's 1,797 digits: 8x8 pixels, enlarged to 28x28; no download.

    Images 0, 6, 12 and so on are the 300 test digits, the other 1,497 the training digits.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.from_numpy(bunch.images).unsqueeze(1)  # float64, whole numbers from 0 to 16
    large = interpolate(small, size=(28, 28), mode="bilinear", align_corners=False).squeeze(1)
    # From 8 to 28 pixels every weight is a multiple of 1/14, so 196 times a pixel is a whole number. Scaling
    # that in integers rounds alike on every processor: equal digits, equal bytes, whatever the machine.
    exact = large.mul(14 * 14).round().to(torch.int64)
    whole = 14 * 14 * 16  # a white pixel
    images = ((exact * 255 + whole // 2) // whole).to(torch.uint8)
    labels = torch.from_numpy(bunch.target).to(torch.uint8)
    test = torch.arange(len(labels)) % 6 == 0
    return {
        "train_images": images[~test],
        "train_labels": labels[~test],
        "test_images": images[test],
        "test_labels": labels[test],
    }


def _public_mirrors() -> list[Mirror]:
    from torchvision.datasets import MNIST

    return [*MNIST.mirrors]


def _mirrors_set() -> list[Mirror]:
    """Return the mirror that the user has set, if there is one."""
    setting = os.environ.get(MIRROR_SETTING, "")
    if not setting:
        return []
    if "://" not in setting:
        return [repository_root() / setting]  # and not in the copy of it that an experiment runs in
    try:
        url = urlsplit(setting)
        if url.scheme in ("http", "https") and url.hostname:
            return [setting]
        if url.scheme == "file" and url.netloc in ("", "localhost"):
            return [Path(url2pathname(url.path))]
    except ValueError:
        pass  # not a URL at all
    raise StageError(f"{MIRROR_SETTING} must be an http, https or file URL or a folder, got {setting!r}")


def _kept(cache: Path, name: str) -> bytes | None:
    """Return a file's verified content from the cache, if it is there."""
    try:
        return _attempt(cache, name)
    except _NotHadError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            say(f"MNIST: {cache / name}: {error}; fetching it anew")
        return None


def _keep(cache: Path, name: str, content: bytes) -> bool:
    """Put a file into the cache, and return whether that was possible."""
    try:
        with whole_file(cache / name) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        reason = f"MNIST: {cache}: cannot be written ({error.strerror or error})"
        say(f"{reason}, so the files are fetched again the next time; {CACHE_SETTING} names another folder")
        return False
    return True


def _fetch(name: str, mirrors: list[Mirror]) -> tuple[bytes, Mirror]:
    """Return a file's verified content and the mirror that gave it."""
    reason = "no mirror is known"
    for mirror in mirrors:
        for pause in (*PAUSES, None):
            try:
                return _attempt(mirror, name), mirror
            except _NotHadError as error:
                reason = f"{mirror}: {error}"
                if pause is None or not error.retry:
                    break
            say(f"MNIST: {name} from {reason}; trying again")
            time.sleep(pause)
    raise StageError(
        f"MNIST: {name} could not be had from {reason}; set {MIRROR_SETTING} to a URL or a folder that holds "
        "the four files, or use the digits that need no download: dvc exp run -S data.dataset=digits"
    )


def _attempt(mirror: Mirror, name: str) -> bytes:
    """Read a file from one mirror, and let it pass only if it is the published one."""
    size, sha256 = MNIST_FILES[name]
    remote = isinstance(mirror, str)  # a folder stays as it is: no second attempt
    try:
        content = (mirror / name).read_bytes() if isinstance(mirror, Path) else _download(mirror, name, size)
    except HTTPError as error:
        error.close()
        busy = error.code >= 500 or error.code in (408, 429)
        refused = error.code in (401, 403) and mirror == os.environ.get(MIRROR_SETTING)
        advice = ", give it a user and a password, percent-encoded: user:password@ before the host"
        raise _NotHadError(
            f"HTTP {error.code} {error.reason}{advice if refused else ''}", retry=busy
        ) from error
    except URLError as error:
        raise _NotHadError(str(error.reason), retry=True) from error
    except (InvalidURL, ValueError) as error:  # the URL makes no request
        raise _NotHadError(str(error), retry=False) from error
    except (OSError, HTTPException) as error:
        raise _NotHadError(str(error) or type(error).__name__, retry=remote) from error
    if len(content) < size:
        raise _NotHadError(f"only {len(content):,} of {size:,} bytes", retry=remote)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _NotHadError("not the published file, its SHA-256 differs", retry=remote)
    return content


def _download(mirror: str, name: str, size: int) -> bytes:
    """Read at most one byte more than `size`: enough to tell that a file is too long."""
    url = urlsplit(f"{mirror.rstrip('/')}/{name}")
    user, _, host = url.netloc.rpartition("@")
    request = Request(url._replace(netloc=host).geturl())  # noqa: S310  `_mirrors_set` lets only http and https through
    if user:
        pair = unquote(user if ":" in user else f"{user}:").encode()
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
    with build_opener(_Redirects).open(request, timeout=TIMEOUT) as response:
        content: bytes = response.read(size + 1)
    return content


class _Redirects(HTTPRedirectHandler):
    """Follows redirects; a user and a password go to the host that they are meant for, and to no other."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        pair = req.unredirected_hdrs.get("Authorization")
        if following and pair and urlsplit(newurl)[:2] == urlsplit(req.full_url)[:2]:
            following.add_unredirected_header("Authorization", pair)
        return following


def _read_idx(name: str, content: bytes) -> Tensor:
    """Return the array of a gzipped IDX file: (N, 28, 28) or, of labels, (N,); uint8."""
    data = gzip.decompress(content)
    axes = 3 if "idx3" in name else 1
    start = 4 * (1 + axes)
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    # Two zeros, the type of unsigned bytes, and the number of axes; then their sizes, and the bytes.
    of_bytes = data[:4] == bytes([0, 0, 8, axes]) and len(data) == start + math.prod(shape)
    if not of_bytes or shape[1:] not in ([], [28, 28]):
        raise StageError(f"MNIST: {name}: no IDX file of {'28x28 images' if axes == 3 else 'labels'}")
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).reshape(shape)
