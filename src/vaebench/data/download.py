"""Where the images come from: the mirrors of MNIST's kind of files, or the set that scikit-learn carries."""

import base64
import hashlib
import math
import os
import time
import zlib
from http.client import HTTPException, HTTPMessage, InvalidURL
from pathlib import Path
from typing import IO, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vaebench.pipeline.cache import SETTING as CACHE_SETTING
from vaebench.pipeline.cache import cache_folder
from vaebench.pipeline.datasets import DATASETS, Download, IdxFile
from vaebench.pipeline.files import whole_file
from vaebench.pipeline.origin import repository_root
from vaebench.pipeline.stage import StageError, say

MIRROR_SETTING = "VAEBENCH_MIRROR"  # serves every set, each in a folder of its own
TIMEOUT = 20.0  # seconds without an answer
PAUSES = (0.5, 1.0)  # seconds before the second and the third attempt on one mirror

Mirror = str | Path  # the URL or the folder that holds the files of one set


class _NotHadError(Exception):
    """An attempt that gave no file: why, and whether the same mirror may do better the next time."""

    def __init__(self, reason: str, *, retry: bool, refused: bool = False) -> None:
        super().__init__(reason)
        self.retry = retry
        self.refused = refused  # for want of a user and a password


class _File(NamedTuple):
    """A published file as a mirror has it, and the IDX file that it holds."""

    packed: bytes
    content: bytes


class _Setting(NamedTuple):
    """The environment variable that says where a set comes from, whether it is set or not."""

    variable: str
    mirror: Mirror | None  # that it names
    holds: str  # what must be found there


def fetch_dataset(name: str) -> dict[str, Tensor]:
    """Fetch or make the data set of that name: see `vaebench.pipeline.datasets`.

    Its files come from torchvision's mirrors, or from the one that the user has set. What comes from a URL is
    kept in the user's cache, and taken from there the next time.

    Returns:
        The arrays that `vaebench.data.dataset.save_dataset` takes.

    Raises:
        StageError: a file cannot be had, or is not the published one; the message says what to do.
    """
    entry = DATASETS[name]
    return _fetch_files(name, entry.title, entry.download) if entry.download else make_digits()


def _fetch_files(name: str, title: str, download: Download) -> dict[str, Tensor]:
    setting = _setting(download)
    mirrors = [setting.mirror] if setting.mirror else []
    cache = None if isinstance(setting.mirror, Path) else cache_folder() / name
    writable = True  # until it proves not to be
    arrays: dict[str, Tensor] = {}
    for file, published in download.files.items():
        found = cache and _kept(title, cache, file, published)
        source: Mirror | None = cache
        if not found:
            # The next file starts where this one was found: a dead mirror is waited for once, not four times.
            mirrors = mirrors or _public_mirrors(download)
            found, source = _fetch(title, file, published, mirrors, setting)
            mirrors = [source, *(other for other in mirrors if other != source)]
            if cache and writable:
                writable = _keep(title, cache, file, found.packed)
        say(f"{title}: {file}, {len(found.packed):,} bytes from {source}")
        split = "train" if file.startswith("train") else "test"
        kind = "images" if "images" in file else "labels"
        arrays[f"{split}_{kind}"] = _read_idx(title, file, found.content)
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


def _public_mirrors(download: Download) -> list[Mirror]:
    import torchvision

    return [*getattr(torchvision.datasets, download.torchvision).mirrors]


def _setting(download: Download) -> _Setting:
    """Return the variable that the user has set, or the one to set."""
    if download.own_mirror and (value := os.environ.get(download.own_mirror)):
        return _Setting(download.own_mirror, _mirror(download.own_mirror, value), "the four files")
    holds = f"{download.folder}/ with the four files"
    if not (value := os.environ.get(MIRROR_SETTING)):
        return _Setting(MIRROR_SETTING, None, holds)
    whole = _mirror(MIRROR_SETTING, value)
    mirror = whole / download.folder if isinstance(whole, Path) else f"{whole.rstrip('/')}/{download.folder}"
    return _Setting(MIRROR_SETTING, mirror, holds)


def _mirror(variable: str, value: str) -> Mirror:
    """Return the URL or the folder that a variable names."""
    if "://" not in value:
        return repository_root() / value  # and not in the copy of it that an experiment runs in
    try:
        url = urlsplit(value)
        if url.scheme in ("http", "https") and url.hostname:
            return value
        if url.scheme == "file" and url.netloc in ("", "localhost"):
            return Path(url2pathname(url.path))
    except ValueError:
        pass  # not a URL at all
    raise StageError(f"{variable} must be an http, https or file URL or a folder, got {value!r}")


def _kept(title: str, cache: Path, name: str, published: IdxFile) -> _File | None:
    """Return a verified file from the cache, if it is there."""
    try:
        return _attempt(cache, name, published)
    except _NotHadError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            say(f"{title}: {cache / name}: {error}; fetching it anew")
        return None


def _keep(title: str, cache: Path, name: str, packed: bytes) -> bool:
    """Put a file into the cache, and return whether that was possible."""
    try:
        with whole_file(cache / name) as temporary:
            temporary.write_bytes(packed)
    except OSError as error:
        reason = f"{title}: {cache}: cannot be written ({error.strerror or error})"
        say(f"{reason}, so the files are fetched again the next time; {CACHE_SETTING} names another folder")
        return False
    return True


def _fetch(
    title: str, name: str, published: IdxFile, mirrors: list[Mirror], setting: _Setting
) -> tuple[_File, Mirror]:
    """Return a verified file and the mirror that gave it."""
    reason = "no mirror is known"
    for mirror in mirrors:
        for pause in (*PAUSES, None):
            try:
                return _attempt(mirror, name, published), mirror
            except _NotHadError as error:
                reason = f"{mirror}: {error}"
                if error.refused and setting.mirror:
                    reason += (
                        ", give it a user and a password, percent-encoded: user:password@ before the host"
                    )
                if pause is None or not error.retry:
                    break
            say(f"{title}: {name} from {reason}; trying again")
            time.sleep(pause)
    raise StageError(
        f"{title}: {name} could not be had from {reason}; set {setting.variable} to a URL or a folder that "
        f"holds {setting.holds}, or use the digits that need no download: dvc exp run -S data.dataset=digits"
    )


def _attempt(mirror: Mirror, name: str, published: IdxFile) -> _File:
    """Read a file from one mirror, and let it pass only if it holds the published content."""
    remote = isinstance(mirror, str)  # a folder stays as it is: no second attempt
    # No gzip file is notably larger than what it holds. One byte more tells that this one is too long.
    most = published.size + published.size // 1000 + 1000
    try:
        packed = (
            _download(mirror, name, most + 1) if isinstance(mirror, str) else _read(mirror / name, most + 1)
        )
    except HTTPError as error:
        error.close()
        busy = error.code >= 500 or error.code in (408, 429)
        refused = error.code in (401, 403)
        raise _NotHadError(f"HTTP {error.code} {error.reason}", retry=busy, refused=refused) from error
    except URLError as error:
        raise _NotHadError(str(error.reason), retry=True) from error
    except (InvalidURL, ValueError) as error:  # the URL makes no request
        raise _NotHadError(str(error), retry=False) from error
    except (OSError, HTTPException) as error:
        raise _NotHadError(str(error) or type(error).__name__, retry=remote) from error
    problem, content = "it is too long", b""
    if len(packed) <= most:
        problem, content = _unpack(packed, published.size)
    if not problem and hashlib.sha256(content).hexdigest() != published.sha256:
        problem = "the SHA-256 of its content differs"
    if problem:
        raise _NotHadError(f"not the published file, {problem}", retry=remote)
    return _File(packed, content)


def _unpack(packed: bytes, size: int) -> tuple[str, bytes]:
    """Unpack a gzip file that must hold `size` bytes: at most one more, whatever it holds.

    Returns:
        What is wrong with it, or nothing, and its content.
    """
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # of one gzip member, with its checksum
    try:
        content = unpacking.decompress(packed, size + 1)
    except zlib.error as error:
        return f"it cannot be unpacked ({error})", b""
    if len(content) > size:
        return f"it holds more than {size:,} bytes", b""
    if not unpacking.eof:
        return f"it breaks off after {len(content):,} of {size:,} bytes", b""
    if unpacking.unused_data:
        return "it goes on after its end", b""
    return "", content


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


def _download(mirror: str, name: str, most: int) -> bytes:
    """Read at most so many bytes."""
    url = urlsplit(f"{mirror.rstrip('/')}/{name}")
    user, _, host = url.netloc.rpartition("@")
    request = Request(url._replace(netloc=host).geturl())  # noqa: S310  `_mirror` lets only http and https through
    if user:
        pair = unquote(user if ":" in user else f"{user}:").encode()
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
    with build_opener(_Redirects).open(request, timeout=TIMEOUT) as response:
        content: bytes = response.read(most)
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


def _read_idx(title: str, name: str, data: bytes) -> Tensor:
    """Return the array of an IDX file: (N, 28, 28) or, of labels, (N,); uint8."""
    axes = 3 if "idx3" in name else 1
    start = 4 * (1 + axes)
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    # Two zeros, the type of unsigned bytes, and the number of axes; then their sizes, and the bytes.
    of_bytes = data[:4] == bytes([0, 0, 8, axes]) and len(data) == start + math.prod(shape)
    if not of_bytes or shape[1:] not in ([], [28, 28]):
        raise StageError(f"{title}: {name}: no IDX file of {'28x28 images' if axes == 3 else 'labels'}")
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).reshape(shape)
