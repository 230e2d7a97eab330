"""The download: mirrors that fail in every way they can, files that are not the published ones, digits."""

import base64
import gzip
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote, unquote

import pytest
import torch
import torchvision
import yaml
from torch import Tensor
from torchvision.datasets import KMNIST, MNIST, FashionMNIST

from projects import commit, git
from vaebench.data import download
from vaebench.data.dataset import load_dataset, save_dataset
from vaebench.pipeline.datasets import DATASETS, DatasetEntry, Download, IdxFile
from vaebench.pipeline.params import load_params
from vaebench.pipeline.stage import StageError, run_stage

ROOT = Path(__file__).resolve().parents[1]
FIRST = "train-images-idx3-ubyte.gz"
OWN, SHARED = "VAEBENCH_MNIST_MIRROR", "VAEBENCH_MIRROR"


@dataclass(frozen=True)
class Answer:
    """What a mirror answers to one request."""

    status: int = 200
    body: bytes = b""
    announced: int | None = None  # Content-Length, where it is not the body's
    location: str = ""  # where it redirects to
    stall: float = 0.0  # seconds before anything is sent


@dataclass
class Mirror:
    """A mirror on the loopback: it serves `files`, but first whatever `script` holds for the name."""

    url: str
    files: dict[str, bytes]
    script: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    wants: str = ""  # the header of the user that it serves; empty: it serves all

    def answer(self, name: str, authorization: str | None) -> Answer:
        self.requests.append(name)
        self.authorizations.append(authorization)
        if self.wants and authorization != self.wants:
            return Answer(401)
        if self.script.get(name):
            return self.script[name].pop(0)
        return Answer(body=self.files[name]) if name in self.files else Answer(404)


StartMirror = Callable[[dict[str, bytes]], Mirror]


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test waits, goes through a proxy, or leaves files outside its own folder."""
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(download, "TIMEOUT", 5.0)
    monkeypatch.setenv("no_proxy", "*")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("VAEBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def start_mirror() -> Iterator[StartMirror]:
    servers: list[ThreadingHTTPServer] = []

    def start(files: dict[str, bytes]) -> Mirror:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = mirror.answer(self.path.removeprefix("/mnist/"), self.headers.get("Authorization"))
                if answer.stall:
                    time.sleep(answer.stall)
                size = len(answer.body) if answer.announced is None else answer.announced
                with suppress(ConnectionError):  # the client may hang up as soon as it knows enough
                    self.send_response(answer.status)
                    self.send_header("Content-Length", str(size))
                    if answer.location:
                        self.send_header("Location", answer.location)
                    self.end_headers()
                    self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name it overrides
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        mirror = Mirror(f"http://127.0.0.1:{server.server_port}/mnist/", files)
        servers.append(server)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return mirror

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def arrays() -> dict[str, Tensor]:
    """A data set of five training and three test digits."""
    generator = torch.Generator().manual_seed(0)
    return {
        f"{split}_{kind}": torch.randint(high, (count, *shape), generator=generator, dtype=torch.uint8)
        for split, count in (("train", 5), ("test", 3))
        for kind, high, shape in (("images", 256, (28, 28)), ("labels", 10, ()))
    }


@pytest.fixture
def files(arrays: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The small data set as MNIST's four files, which pass for the published ones."""
    made = {
        "train-images-idx3-ubyte.gz": idx_gz(arrays["train_images"]),
        "train-labels-idx1-ubyte.gz": idx_gz(arrays["train_labels"]),
        "t10k-images-idx3-ubyte.gz": idx_gz(arrays["test_images"]),
        "t10k-labels-idx1-ubyte.gz": idx_gz(arrays["test_labels"]),
    }
    monkeypatch.setitem(DATASETS, "mnist", holding(DATASETS["mnist"], made))
    return made


@pytest.fixture
def use_mirrors(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make these torchvision's mirrors."""

    def use(*mirrors: Mirror) -> None:
        monkeypatch.setattr(MNIST, "mirrors", [mirror.url for mirror in mirrors])

    return use


@pytest.fixture(params=[OWN, SHARED])
def variable(request: pytest.FixtureRequest) -> str:
    """The environment variable that the user sets: MNIST's own, or the one for every set."""
    return str(request.param)


def setting(variable: str, address: str) -> str:
    """What the variable must be for MNIST's files to be looked for at an address, which ends with mnist."""
    return address if variable == OWN else re.sub("/mnist/?$", "", address)


@pytest.fixture
def folder(tmp_path: Path, files: dict[str, bytes], variable: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local mirror that holds the four files and is the one in use."""
    folder = tmp_path / "my mirrors/mnist"
    put(folder, files)
    monkeypatch.setenv(variable, setting(variable, str(folder)))
    return folder


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)


def fetch() -> dict[str, Tensor]:
    return download.fetch_dataset("mnist")


def holding(entry: DatasetEntry, files: dict[str, bytes]) -> DatasetEntry:
    """The entry with these files for the published ones."""
    assert entry.download
    contents = {name: gzip.decompress(body) for name, body in files.items()}
    pinned = {name: IdxFile(len(each), hashlib.sha256(each).hexdigest()) for name, each in contents.items()}
    return replace(entry, download=replace(entry.download, files=pinned))


def idx(array: Tensor) -> bytes:
    header = bytes([0, 0, 8, array.dim()]) + struct.pack(f">{array.dim()}I", *array.shape)
    return header + array.numpy().tobytes()


def idx_gz(array: Tensor) -> bytes:
    return gzip.compress(idx(array), mtime=0)


def altered(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    for key, tensor in expected.items():
        assert got[key].dtype == torch.uint8
        assert torch.equal(got[key], tensor), key


def failure(tmp_path: Path, variable: str = SHARED, name: str = "mnist") -> str:
    """Fetch in vain: the message is one line that says what to do, and no file stays behind."""
    with pytest.raises(StageError) as caught:
        download.fetch_dataset(name)
    message = str(caught.value)
    assert "\n" not in message
    what = "the four files" if variable == OWN else f"{name}/ with the four files"
    assert f"; set {variable} to a URL or a folder that holds {what}, or " in message
    assert "dvc exp run -S data.dataset=digits" in message
    assert not list((tmp_path / "scratch").iterdir())
    return message


# The mirrors.


DOWNLOADS = {name: entry.download for name, entry in DATASETS.items() if entry.download}


@pytest.mark.parametrize("name", DOWNLOADS)
def test_pins_the_files_that_torchvision_reads(name: str) -> None:
    published = getattr(torchvision.datasets, DOWNLOADS[name].torchvision)
    assert list(DOWNLOADS[name].files) == [file for file, _ in published.resources]
    assert published.mirrors


def test_classes_are_those_of_torchvision() -> None:
    assert [*DATASETS["fashion_mnist"].classes] == FashionMNIST.classes
    assert all(len(set(entry.classes)) == 10 for entry in DATASETS.values())


def test_good_download(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good, spare = start_mirror(files), start_mirror(files)
    use_mirrors(good, spare)

    assert_same(fetch(), arrays)

    assert good.requests == list(files)
    assert not spare.requests
    assert not list((tmp_path / "scratch").iterdir())
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"MNIST: {name}, {len(files[name]):,} bytes from {good.url}" for name in files]


def test_fetched_arrays_make_a_data_set(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    use_mirrors(start_mirror(files))
    save_dataset(tmp_path / "dataset.safetensors", "mnist", fetch())
    dataset = load_dataset(tmp_path / "dataset.safetensors")
    assert (len(dataset.train), len(dataset.test)) == (5, 3)
    assert torch.equal(dataset.test.labels, arrays["test_labels"].long())


@pytest.mark.parametrize("status", [403, 404, 410])
def test_missing_file_goes_to_the_next_mirror_at_once(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    status: int,
) -> None:
    bad, good = start_mirror(files), start_mirror(files)
    bad.script[FIRST] = [Answer(status)]
    use_mirrors(bad, good)

    assert_same(fetch(), arrays)

    # And it stays with the mirror that answered.
    assert bad.requests == [FIRST]
    assert good.requests == list(files)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_busy_mirror_is_tried_again(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    status: int,
) -> None:
    busy, spare = start_mirror(files), start_mirror(files)
    busy.script[FIRST] = [Answer(status), Answer(status)]
    use_mirrors(busy, spare)

    assert_same(fetch(), arrays)

    assert busy.requests == [FIRST, FIRST, *files]
    assert not spare.requests


def test_pauses_before_each_new_attempt(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror = start_mirror(files)
    mirror.script[FIRST] = [Answer(500), Answer(500)]
    use_mirrors(mirror)
    waited: list[float] = []
    monkeypatch.setattr(download, "PAUSES", (0.5, 1.0))
    monkeypatch.setattr(time, "sleep", waited.append)
    fetch()
    assert waited == [0.5, 1.0]


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("truncated", "it breaks off after "),
        ("cut off", "it breaks off after "),
        ("without its checksum", "it breaks off after 3,936 of 3,936 bytes"),
        ("nothing", "it breaks off after 0 of 3,936 bytes"),
        ("longer", "it is too long"),
        ("a little longer", "it goes on after its end"),
        ("damaged", "it cannot be unpacked (Error -3 while decompressing data: incorrect length check)"),
        ("a page", "it cannot be unpacked (Error -3 while decompressing data: incorrect header check)"),
        ("other images", "the SHA-256 of its content differs"),
        ("fewer images", "the SHA-256 of its content differs"),
        ("more images", "it holds more than 3,936 bytes"),
    ],
)
def test_wrong_content_is_tried_again_then_left_for_the_next_mirror(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    kind: str,
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    body, images = files[FIRST], arrays["train_images"]
    wrong = {
        "truncated": Answer(body=body[:-100]),
        "cut off": Answer(body=body[:-100], announced=len(body)),
        "without its checksum": Answer(body=body[:-8]),
        "nothing": Answer(),
        "longer": Answer(body=body + b"\0" * 100_000),
        "a little longer": Answer(body=body + b"\0"),
        "damaged": Answer(body=altered(body)),
        "a page": Answer(body=b"<html>Please log in</html>"),
        "other images": Answer(body=idx_gz(images ^ 1)),
        "fewer images": Answer(body=idx_gz(images[:-1])),
        "more images": Answer(body=idx_gz(torch.zeros(1_000, 28, 28, dtype=torch.uint8))),
    }[kind]
    bad, good = start_mirror(files), start_mirror(files)
    bad.script[FIRST] = [wrong] * 3
    use_mirrors(bad, good)

    assert_same(fetch(), arrays)

    assert bad.requests == [FIRST] * 3
    assert good.requests == list(files)
    said = capsys.readouterr().err
    assert said.count(f"MNIST: {FIRST} from {bad.url}: not the published file, {problem}") == 2


def test_wrong_content_is_never_on_disk_and_a_kill_leaves_nothing(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last = list(files)[-1]
    bad = start_mirror({**files, last: altered(files[last])})
    use_mirrors(bad)
    seen: set[bytes] = set()

    def look(pause: float) -> None:
        assert not list((tmp_path / "scratch").iterdir())
        seen.update(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    monkeypatch.setattr(time, "sleep", look)
    assert last in failure(tmp_path)
    assert seen == {body for name, body in files.items() if name != last}  # in the cache


def test_silent_mirror_is_left(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    monkeypatch.setattr(download, "PAUSES", ())
    silent, good = start_mirror(files), start_mirror(files)
    silent.script[FIRST] = [Answer(500, stall=0.6)]
    use_mirrors(silent, good)
    assert_same(fetch(), arrays)
    assert good.requests == list(files)


def test_all_mirrors_fail(
    start_mirror: StartMirror, use_mirrors: Callable[..., None], files: dict[str, bytes], tmp_path: Path
) -> None:
    busy, empty = start_mirror({}), start_mirror({})
    busy.script[FIRST] = [Answer(503)] * 3
    use_mirrors(busy, empty)
    message = failure(tmp_path)
    assert message.startswith(f"MNIST: {FIRST} could not be had from {empty.url}: HTTP 404 Not Found; ")
    assert (busy.requests, empty.requests) == ([FIRST] * 3, [FIRST])


def test_no_network(
    use_mirrors: Callable[..., None], files: dict[str, bytes], tmp_path: Path, start_mirror: StartMirror
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        closed = Mirror(f"http://127.0.0.1:{server.server_port}/", {})
    use_mirrors(closed, Mirror("http://mirror.invalid/", {}))
    message = failure(tmp_path)
    assert f"{FIRST} could not be had from http://mirror.invalid/: " in message


# The mirror that the user sets.


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_mirror_set_is_the_only_one(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    slash: str,
    tmp_path: Path,
) -> None:
    mine, public = start_mirror(files), start_mirror(files)
    use_mirrors(public)
    monkeypatch.setenv(variable, setting(variable, mine.url).rstrip("/") + slash)
    assert_same(fetch(), arrays)
    assert mine.requests == list(files)

    mine.files = {}
    monkeypatch.setenv("VAEBENCH_CACHE", str(tmp_path / "empty"))
    shown = mine.url.rstrip("/") + (slash if variable == OWN else "")
    assert f"{shown}: HTTP 404" in failure(tmp_path, variable)
    assert not public.requests


def test_mnists_own_mirror_goes_before_the_shared_one(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    own, shared = start_mirror(files), start_mirror(files)
    monkeypatch.setenv(OWN, own.url)
    monkeypatch.setenv(SHARED, setting(SHARED, shared.url))
    assert_same(fetch(), arrays)
    assert own.requests == list(files)
    assert not shared.requests

    put(tmp_path / "all/fashion-mnist", files)
    monkeypatch.setitem(DATASETS, "fashion_mnist", holding(DATASETS["fashion_mnist"], files))
    monkeypatch.setenv(SHARED, str(tmp_path / "all"))
    assert_same(download.fetch_dataset("fashion_mnist"), arrays)  # of which MNIST's own mirror knows nothing
    assert own.requests == list(files)


def test_empty_setting_is_none(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_mirrors(start_mirror(files))
    monkeypatch.setenv(OWN, "")
    monkeypatch.setenv(SHARED, "")
    assert_same(fetch(), arrays)


@pytest.mark.parametrize("form", ["path", "relative path", "file URL", "file URL with a host"])
def test_local_folder(
    folder: Path, arrays: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, variable: str, form: str
) -> None:
    monkeypatch.chdir(folder.parents[1])
    address = {
        "path": str(folder),
        "relative path": f"{folder.parent.name}/{folder.name}",
        "file URL": folder.as_uri(),
        "file URL with a host": folder.as_uri().replace("file://", "file://localhost"),
    }[form]
    monkeypatch.setenv(variable, setting(variable, address))
    assert_same(fetch(), arrays)


def test_relative_folder_is_that_of_the_repository_for_an_experiment_in_a_clone(
    folder: Path, arrays: dict[str, Tensor], tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    clone = tmp_path / "clone"
    (clone / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(clone)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv(variable, setting(variable, f"{folder.parent.name}/{folder.name}"))
    assert_same(fetch(), arrays)


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_local_folder_lacks_a_file(folder: Path, tmp_path: Path, variable: str, name: str) -> None:
    (folder / name).unlink()
    message = failure(tmp_path, variable)
    assert f"{name} could not be had from {folder}: " in message
    assert "No such file or directory" in message


def test_local_folder_does_not_exist(folder: Path, tmp_path: Path, variable: str) -> None:
    shutil.rmtree(folder)
    assert f"could not be had from {folder}: " in failure(tmp_path, variable)


def test_local_file_is_altered(
    folder: Path, tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(altered(path.read_bytes()))
    monkeypatch.setattr(time, "sleep", lambda pause: pytest.fail("a folder gets one attempt"))
    message = failure(tmp_path, variable)
    assert f"{path.name} could not be had from {folder}: not the published file" in message
    assert path.is_file()


@pytest.mark.parametrize("address", ["ftp://host/mnist", "http://", "http://[::1/", "file://host/mnist"])
def test_setting_is_neither_url_nor_folder(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    monkeypatch.setenv(variable, address)
    with pytest.raises(StageError, match=f"^{variable} must be an http, https or file URL"):
        fetch()


@pytest.mark.parametrize("address", ["http://127.0.0.1:port", "http://127.0.0.1/é", "http://no host"])
def test_url_that_cannot_be_asked_for(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, address: str
) -> None:
    monkeypatch.setenv(variable, address)
    monkeypatch.setattr(time, "sleep", lambda pause: pytest.fail("a new attempt changes nothing"))
    shown = address if variable == OWN else f"{address}/mnist"
    assert f"could not be had from {shown}: " in failure(tmp_path, variable)


@pytest.mark.parametrize("level", [1, 9])
@pytest.mark.parametrize("name", ["as it was.idx", ""])
def test_same_content_in_another_gzip_file_passes(
    folder: Path, files: dict[str, bytes], arrays: dict[str, Tensor], name: str, level: int
) -> None:
    for file, body in files.items():
        with (folder / file).open("wb") as raw, gzip.GzipFile(name, "wb", level, raw, mtime=1) as packed:
            packed.write(gzip.decompress(body))
        assert (folder / file).read_bytes() != body
    assert_same(fetch(), arrays)


def test_content_that_does_not_shrink_is_not_too_long(
    folder: Path, files: dict[str, bytes], arrays: dict[str, Tensor]
) -> None:
    for file, body in files.items():
        (folder / file).write_bytes(gzip.compress(gzip.decompress(body), 0))
    assert_same(fetch(), arrays)


def test_another_set_of_the_form_is_one_entry(
    start_mirror: StartMirror,
    arrays: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = {
        file: idx_gz(arrays[f"{split}_{kind}"])
        for split, kind, (file, _) in zip(
            ("train", "train", "test", "test"), ("images", "labels") * 2, KMNIST.resources, strict=True
        )
    }
    entry = DatasetEntry(
        "Kuzushiji-MNIST",
        "CODH",
        "character",
        "character",
        (*"おきすつなはまやれを",),
        Download("KMNIST", "kmnist", {}),
    )
    monkeypatch.setitem(DATASETS, "kmnist", holding(entry, made))
    public = start_mirror(made)
    monkeypatch.setattr(KMNIST, "mirrors", [public.url])

    (tmp_path / "params.yaml").write_text(
        (ROOT / "params.yaml").read_text(encoding="utf-8").replace("dataset: mnist", "dataset: kmnist"),
        encoding="utf-8",
    )
    assert load_params(tmp_path / "params.yaml").data.dataset == "kmnist"
    assert_same(download.fetch_dataset("kmnist"), arrays)
    assert public.requests == list(made)
    assert {path.name for path in (tmp_path / "cache/kmnist").iterdir()} == set(made)
    assert capsys.readouterr().err.startswith(f"Kuzushiji-MNIST: {FIRST}, ")

    monkeypatch.setenv(SHARED, str(tmp_path / "all"))
    message = failure(tmp_path, name="kmnist")
    assert message.startswith(f"Kuzushiji-MNIST: {FIRST} could not be had from {tmp_path}/all/kmnist: ")
    put(tmp_path / "all/kmnist", made)
    assert_same(download.fetch_dataset("kmnist"), arrays)


def test_published_mnist(real_mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OWN, real_mirror)
    monkeypatch.setattr(download, "TIMEOUT", 20.0)
    arrays = fetch()
    assert arrays["train_images"].shape == (60_000, 28, 28)
    assert arrays["test_images"].shape == (10_000, 28, 28)
    assert all(tensor.dtype == torch.uint8 for tensor in arrays.values())
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert torch.bincount(arrays["train_labels"]).tolist() == train
    assert torch.bincount(arrays["test_labels"]).tolist() == test
    # The mean pixel is MNIST's well-known 0.1307.
    assert arrays["train_images"].double().mean().item() / 255 == pytest.approx(0.1307, abs=5e-5)


def test_mnist_is_the_data_set_that_the_results_are_of(
    real_mirror: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(OWN, real_mirror)
    save_dataset(tmp_path / "dataset.safetensors", "mnist", fetch())
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]["download"]
    content = (tmp_path / "dataset.safetensors").read_bytes()
    assert hashlib.md5(content).hexdigest() == lock["outs"][0]["md5"]


def test_published_fashion_mnist(real_mirrors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED, real_mirrors)
    monkeypatch.setattr(download, "TIMEOUT", 20.0)
    arrays = download.fetch_dataset("fashion_mnist")
    for split, count in (("train", 6000), ("test", 1000)):
        assert arrays[f"{split}_images"].shape == (10 * count, 28, 28)
        assert torch.bincount(arrays[f"{split}_labels"]).tolist() == [count] * 10
    # The mean pixel is Fashion-MNIST's well-known 0.2860.
    assert arrays["train_images"].double().mean().item() / 255 == pytest.approx(0.2860, abs=5e-5)


# A mirror that wants a user and a password.


USER, PASSWORD = "some:body", "s3@cret/pw"
AS_SET = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def with_user(url: str, user_info: str = AS_SET) -> str:
    return url.replace("http://", f"http://{user_info}")


def refusal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path) -> str:
    """Fetch in vain, as a stage does, and return all that it says."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["stages/download.py"])

    def main() -> None:
        fetch()

    with pytest.raises(SystemExit) as caught:
        run_stage(main)
    out, err = capfd.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"error: MNIST: {FIRST} could not be had from http://127.0.0.1:")
    for part in ("some", "body", "s3", "cret", "pw", BASIC):
        assert part not in err.replace("a user and a password, percent-encoded: user:password@", "")
    return err


@pytest.mark.parametrize("user_info", [AS_SET, "somebody:s3@cr:et@", "TOKEN@"])
def test_mirror_takes_user_and_password(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    user_info: str,
) -> None:
    mirror = start_mirror(files)
    pair = unquote(user_info[:-1]) + ("" if ":" in user_info else ":")
    mirror.wants = "Basic " + base64.b64encode(pair.encode()).decode()
    monkeypatch.setenv(variable, setting(variable, with_user(mirror.url, user_info)))
    assert_same(fetch(), arrays)
    assert mirror.requests == list(files)
    lines = capfd.readouterr().err.splitlines()
    shown = mirror.url if variable == OWN else mirror.url.rstrip("/")
    assert lines == [f"MNIST: {name}, {len(files[name]):,} bytes from {shown}" for name in files]


@pytest.mark.parametrize(("user_info", "status"), [("", 401), ("some:body@", 401), (AS_SET, 403)])
def test_refused_user_is_one_line_that_says_what_to_do(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    user_info: str,
    status: int,
) -> None:
    mirror = start_mirror(files)
    mirror.wants = BASIC
    mirror.script[FIRST] = [Answer(403)] if status == 403 else []
    monkeypatch.setenv(variable, setting(variable, with_user(mirror.url, user_info)))
    said = refusal(monkeypatch, capfd, tmp_path)
    assert f"{mirror.url.rstrip('/') if variable == SHARED else mirror.url}: HTTP {status} " in said
    assert "give it a user and a password, percent-encoded: user:password@ before the host; " in said
    assert said.count("\n") == 1
    assert mirror.requests == [FIRST]


@pytest.mark.parametrize("password", ["s3/cret", "s3?cret", "s3#cret"])
def test_password_that_must_be_encoded_is_not_shown(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    password: str,
) -> None:
    mirror = start_mirror(files)
    monkeypatch.setenv(variable, setting(variable, with_user(mirror.url, f"somebody:{password}@")))
    assert refusal(monkeypatch, capfd, tmp_path).count("\n") == 1
    assert not mirror.requests


def test_password_is_not_shown_while_a_mirror_is_tried_again(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    mirror = start_mirror(files)
    mirror.script[FIRST] = [Answer(503)] * 3
    monkeypatch.setenv(variable, setting(variable, with_user(mirror.url)))
    assert refusal(monkeypatch, capfd, tmp_path).count("; trying again\n") == 2


def test_password_follows_a_redirect_to_its_own_host_alone(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, other = start_mirror(files), start_mirror(files)
    own.wants = BASIC
    own.script = {name: [Answer(302, location=f"{own.url}{name}")] for name in files}
    monkeypatch.setenv(variable, setting(variable, with_user(own.url)))
    assert_same(fetch(), arrays)
    assert own.authorizations == [BASIC] * 8
    assert own.requests == [name for name in files for _ in range(2)]

    monkeypatch.setenv("VAEBENCH_CACHE", os.devnull)
    own.script = {name: [Answer(302, location=f"{other.url}{name}")] for name in files}
    assert_same(fetch(), arrays)
    assert other.authorizations == [None] * 4


# What was fetched is kept.


def test_files_are_fetched_once(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror = start_mirror(files)
    use_mirrors(mirror)
    assert_same(fetch(), arrays)
    cache = tmp_path / "cache/mnist"
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == files
    capsys.readouterr()
    monkeypatch.delattr(MNIST, "mirrors")
    assert_same(fetch(), arrays)
    assert mirror.requests == list(files)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"MNIST: {name}, {len(body):,} bytes from {cache}" for name, body in files.items()]


@pytest.mark.parametrize("damage", ["altered", "cut off", "empty", "a folder", "missing"])
def test_damaged_file_is_fetched_anew(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    mirror = start_mirror(files)
    use_mirrors(mirror)
    fetch()
    kept = tmp_path / "cache/mnist" / FIRST
    body = kept.read_bytes()
    kept.unlink()
    if damage == "a folder":
        kept.mkdir()
    elif damage != "missing":
        kept.write_bytes({"altered": altered(body), "cut off": body[:-1], "empty": b""}[damage])
    capsys.readouterr()
    assert_same(fetch(), arrays)
    assert mirror.requests == [*files, FIRST]
    said = capsys.readouterr().err
    assert (f"MNIST: {kept}: " in said) == (damage != "missing")
    assert (f"MNIST: {kept.parent}: cannot be written (Is a directory)" in said) == (damage == "a folder")
    if damage != "a folder":
        assert kept.read_bytes() == body


def test_cache_that_cannot_be_written_costs_a_word(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror = start_mirror(files)
    use_mirrors(mirror)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("VAEBENCH_CACHE", str(tmp_path / "a file"))
    assert_same(fetch(), arrays)
    assert mirror.requests == list(files)
    [word] = [line for line in capsys.readouterr().err.splitlines() if "bytes from" not in line]
    assert word.startswith(f"MNIST: {tmp_path}/a file/mnist: cannot be written (")
    assert word.endswith("; VAEBENCH_CACHE names another folder")


def test_folder_is_read_in_place(folder: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    fetch()
    assert not (tmp_path / "cache").exists()
    assert not list((tmp_path / "scratch").iterdir())


# The form of the files.


@pytest.mark.parametrize("wrong", ["signed", "axes", "size", "too long", "too short", "head"])
def test_array_of_another_form_is_refused(wrong: str) -> None:
    images = torch.zeros(2, 28, 28, dtype=torch.uint8)
    body = idx(images)
    content = {
        "signed": body[:2] + b"\x09" + body[3:],
        "axes": idx(images.flatten(1)),
        "size": idx(images.transpose(0, 1).reshape(2, 14, 56)),
        "too long": body + b"\0",
        "too short": body[:-1],
        "head": body[:6],
    }[wrong]
    with pytest.raises(StageError, match=rf"^MNIST: {FIRST}: no IDX file of 28x28 images$"):
        download._read_idx("MNIST", FIRST, content)


# The digits of scikit-learn.


def test_digits_are_like_mnist() -> None:
    arrays = download.make_digits()
    assert arrays["train_images"].shape == (1497, 28, 28)
    assert arrays["test_images"].shape == (300, 28, 28)
    assert arrays["train_labels"].shape == (1497,)
    assert arrays["test_labels"].shape == (300,)
    for tensor in arrays.values():
        assert tensor.dtype == torch.uint8
        assert tensor.is_contiguous()
    for split in ("train", "test"):
        assert arrays[f"{split}_images"].min() == 0
        assert arrays[f"{split}_images"].max() == 255
        share = torch.bincount(arrays[f"{split}_labels"], minlength=10) / len(arrays[f"{split}_labels"])
        assert share.min() > 0.08
        assert share.max() < 0.12


def test_every_sixth_digit_is_a_test_digit() -> None:
    from sklearn.datasets import load_digits

    arrays = download.make_digits()
    labels = torch.from_numpy(load_digits().target).to(torch.uint8)
    is_test = torch.arange(1797) % 6 == 0
    assert torch.equal(arrays["test_labels"], labels[is_test])
    assert torch.equal(arrays["train_labels"], labels[~is_test])
    # No image is on both sides.
    train, test = (
        {tuple(row.tolist()) for row in arrays[f"{s}_images"].flatten(1)} for s in ("train", "test")
    )
    assert len(train) + len(test) == 1797
    assert not train & test


def test_digits_are_the_small_images_enlarged() -> None:
    from sklearn.datasets import load_digits

    small = torch.from_numpy(load_digits().images[::6]) / 16
    expected = torch.nn.functional.interpolate(small.unsqueeze(1), (28, 28), mode="bilinear").squeeze(1)
    got = download.make_digits()["test_images"].double() / 255
    assert (got - expected).abs().max() <= 0.5 / 255 + 1e-9


def test_digits_are_the_same_bytes_everywhere() -> None:
    arrays = download.make_digits()
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(arrays[key].numpy().tobytes())
    assert digest.hexdigest()[:16] == "ee9e058f5727b39e"


# The stage.


def run_download(
    folder: Path, dataset: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert "dataset: mnist" in params
    (folder / "params.yaml").write_text(
        params.replace("dataset: mnist", f"dataset: {dataset}"), encoding="utf-8"
    )
    git(folder, "init", "--quiet")
    commit(folder)
    return subprocess.run(
        [sys.executable, *arguments, str(ROOT / "stages" / "download.py")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_stage_writes_the_data_set(tmp_path: Path) -> None:
    done = run_download(tmp_path, "digits")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["dataset.safetensors"]
    dataset = load_dataset(tmp_path / "data" / "dataset.safetensors")
    assert (dataset.name, len(dataset.train), len(dataset.test)) == ("digits", 1497, 300)
    first = (tmp_path / "data" / "dataset.safetensors").read_bytes()
    again = tmp_path / "again.safetensors"
    save_dataset(again, "digits", download.make_digits())
    assert again.read_bytes() == first


def test_stage_refuses_an_unknown_data_set(tmp_path: Path) -> None:
    done = run_download(tmp_path, "fashion")
    assert done.returncode == 2
    assert (
        done.stderr
        == "error: params.yaml: data.dataset must be mnist, fashion_mnist or digits, got 'fashion'\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_stage_without_a_mirror_writes_nothing(tmp_path: Path) -> None:
    done = run_download(tmp_path, "mnist", VAEBENCH_MNIST_MIRROR=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: MNIST: {FIRST} could not be had from {tmp_path / 'nowhere'}: ")
    assert not (tmp_path / "data").exists()


def test_stage_help_loads_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "stages" / "download.py"), "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "data/dataset.safetensors" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "vaebench.pipeline.params" in loaded
    assert not loaded & {"torch", "torchvision", "sklearn", "numpy", "mlflow"}
