"""The download: mirrors that fail in every way they can, files that are not the published ones, digits."""

import base64
import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote, unquote

import pytest
import torch
from torch import Tensor
from torchvision.datasets import MNIST

from projects import commit, git
from vaebench.data import download
from vaebench.data.dataset import load_dataset, save_dataset
from vaebench.pipeline.stage import StageError, run_stage

ROOT = Path(__file__).resolve().parents[1]
FIRST = "train-images-idx3-ubyte.gz"


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
    pinned = {name: (len(body), hashlib.sha256(body).hexdigest()) for name, body in made.items()}
    monkeypatch.setattr(download, "MNIST_FILES", pinned)
    md5 = [(name, hashlib.md5(body).hexdigest()) for name, body in made.items()]
    monkeypatch.setattr(MNIST, "resources", md5)
    return made


@pytest.fixture
def use_mirrors(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make these torchvision's mirrors."""

    def use(*mirrors: Mirror) -> None:
        monkeypatch.setattr(MNIST, "mirrors", [mirror.url for mirror in mirrors])

    return use


@pytest.fixture
def folder(tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local mirror that holds the four files and is the one in use."""
    folder = tmp_path / "my mirror"
    folder.mkdir()
    for name, body in files.items():
        (folder / name).write_bytes(body)
    monkeypatch.setenv(download.MIRROR_SETTING, str(folder))
    return folder


def idx_gz(array: Tensor) -> bytes:
    header = bytes([0, 0, 8, array.dim()]) + struct.pack(f">{array.dim()}I", *array.shape)
    return gzip.compress(header + array.numpy().tobytes(), mtime=0)


def altered(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    for key, tensor in expected.items():
        assert got[key].dtype == torch.uint8
        assert torch.equal(got[key], tensor), key


def failure(tmp_path: Path) -> str:
    """Fetch in vain: the message is one line that says what to do, and no file stays behind."""
    with pytest.raises(StageError) as caught:
        download.fetch_mnist()
    message = str(caught.value)
    assert "\n" not in message
    assert "VAEBENCH_MNIST_MIRROR" in message
    assert "dvc exp run -S data.dataset=digits" in message
    assert not list((tmp_path / "scratch").iterdir())
    return message


# The mirrors.


def test_pins_the_files_that_torchvision_reads() -> None:
    assert list(download.MNIST_FILES) == [name for name, _ in MNIST.resources]


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

    assert_same(download.fetch_mnist(), arrays)

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
    save_dataset(tmp_path / "dataset.safetensors", "mnist", download.fetch_mnist())
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

    assert_same(download.fetch_mnist(), arrays)

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

    assert_same(download.fetch_mnist(), arrays)

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
    download.fetch_mnist()
    assert waited == [0.5, 1.0]


@pytest.mark.parametrize("kind", ["truncated", "cut off", "longer", "altered", "a page"])
def test_wrong_content_is_tried_again_then_left_for_the_next_mirror(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    kind: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = files[FIRST]
    wrong = {
        "truncated": Answer(body=body[:-100]),
        "cut off": Answer(body=body[:-100], announced=len(body)),
        "longer": Answer(body=body + b"\0" * 100_000),
        "altered": Answer(body=altered(body)),
        "a page": Answer(body=b"<html>Please log in</html>"),
    }[kind]
    bad, good = start_mirror(files), start_mirror(files)
    bad.script[FIRST] = [wrong] * 3
    use_mirrors(bad, good)

    assert_same(download.fetch_mnist(), arrays)

    assert bad.requests == [FIRST] * 3
    assert good.requests == list(files)
    expected = "SHA-256 differs" if kind in ("longer", "altered") else f"of {len(body):,} bytes"
    assert expected in capsys.readouterr().err


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
    assert_same(download.fetch_mnist(), arrays)
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
    slash: str,
    tmp_path: Path,
) -> None:
    mine, public = start_mirror(files), start_mirror(files)
    use_mirrors(public)
    monkeypatch.setenv(download.MIRROR_SETTING, mine.url.rstrip("/") + slash)
    assert_same(download.fetch_mnist(), arrays)
    assert mine.requests == list(files)

    mine.files = {}
    monkeypatch.setenv("VAEBENCH_CACHE", str(tmp_path / "empty"))
    assert f"{mine.url.rstrip('/')}{slash}: HTTP 404" in failure(tmp_path)
    assert not public.requests


def test_empty_setting_is_none(
    start_mirror: StartMirror,
    use_mirrors: Callable[..., None],
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_mirrors(start_mirror(files))
    monkeypatch.setenv(download.MIRROR_SETTING, "")
    assert_same(download.fetch_mnist(), arrays)


@pytest.mark.parametrize("form", ["path", "relative path", "file URL", "file URL with a host"])
def test_local_folder(
    folder: Path, arrays: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(folder.parent)
    setting = {
        "path": str(folder),
        "relative path": folder.name,
        "file URL": folder.as_uri(),
        "file URL with a host": folder.as_uri().replace("file://", "file://localhost"),
    }[form]
    monkeypatch.setenv(download.MIRROR_SETTING, setting)
    assert_same(download.fetch_mnist(), arrays)


def test_relative_folder_is_that_of_the_repository_for_an_experiment_in_a_clone(
    folder: Path, arrays: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / ".dvc").mkdir()
    clone = tmp_path / "clone"
    (clone / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(clone)
    monkeypatch.setenv("DVC_ROOT", str(folder.parent))
    monkeypatch.setenv(download.MIRROR_SETTING, folder.name)
    assert_same(download.fetch_mnist(), arrays)


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_local_folder_lacks_a_file(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    message = failure(tmp_path)
    assert f"{name} could not be had from {folder}: " in message
    assert "No such file or directory" in message


def test_local_folder_does_not_exist(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder)
    assert f"could not be had from {folder}: " in failure(tmp_path)


def test_local_file_is_altered(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(altered(path.read_bytes()))
    monkeypatch.setattr(time, "sleep", lambda pause: pytest.fail("a folder gets one attempt"))
    message = failure(tmp_path)
    assert f"{path.name} could not be had from {folder}: not the published file" in message
    assert path.is_file()


@pytest.mark.parametrize("setting", ["ftp://host/mnist", "http://", "http://[::1/", "file://host/mnist"])
def test_setting_is_neither_url_nor_folder(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv(download.MIRROR_SETTING, setting)
    with pytest.raises(StageError, match="VAEBENCH_MNIST_MIRROR must be an http, https or file URL"):
        download.fetch_mnist()


@pytest.mark.parametrize("setting", ["http://127.0.0.1:port/", "http://127.0.0.1/é/", "http://no host/"])
def test_url_that_cannot_be_asked_for(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str
) -> None:
    monkeypatch.setenv(download.MIRROR_SETTING, setting)
    monkeypatch.setattr(time, "sleep", lambda pause: pytest.fail("a new attempt changes nothing"))
    assert f"could not be had from {setting}: " in failure(tmp_path)


def test_published_mnist(real_mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.MIRROR_SETTING, real_mirror)
    monkeypatch.setattr(download, "TIMEOUT", 20.0)
    arrays = download.fetch_mnist()
    assert arrays["train_images"].shape == (60_000, 28, 28)
    assert arrays["test_images"].shape == (10_000, 28, 28)
    assert all(tensor.dtype == torch.uint8 for tensor in arrays.values())
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert torch.bincount(arrays["train_labels"]).tolist() == train
    assert torch.bincount(arrays["test_labels"]).tolist() == test
    # The mean pixel is MNIST's well-known 0.1307.
    assert arrays["train_images"].double().mean().item() / 255 == pytest.approx(0.1307, abs=5e-5)


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
        download.fetch_mnist()

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
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    user_info: str,
) -> None:
    mirror = start_mirror(files)
    pair = unquote(user_info[:-1]) + ("" if ":" in user_info else ":")
    mirror.wants = "Basic " + base64.b64encode(pair.encode()).decode()
    monkeypatch.setenv(download.MIRROR_SETTING, with_user(mirror.url, user_info))
    assert_same(download.fetch_mnist(), arrays)
    assert mirror.requests == list(files)
    lines = capfd.readouterr().err.splitlines()
    assert lines == [f"MNIST: {name}, {len(files[name]):,} bytes from {mirror.url}" for name in files]


@pytest.mark.parametrize(("user_info", "status"), [("", 401), ("some:body@", 401), (AS_SET, 403)])
def test_refused_user_is_one_line_that_says_what_to_do(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    user_info: str,
    status: int,
) -> None:
    mirror = start_mirror(files)
    mirror.wants = BASIC
    mirror.script[FIRST] = [Answer(403)] if status == 403 else []
    monkeypatch.setenv(download.MIRROR_SETTING, with_user(mirror.url, user_info))
    said = refusal(monkeypatch, capfd, tmp_path)
    assert f"{mirror.url}: HTTP {status} " in said
    assert "give it a user and a password, percent-encoded: user:password@ before the host; " in said
    assert said.count("\n") == 1
    assert mirror.requests == [FIRST]


@pytest.mark.parametrize("password", ["s3/cret", "s3?cret", "s3#cret"])
def test_password_that_must_be_encoded_is_not_shown(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    password: str,
) -> None:
    mirror = start_mirror(files)
    monkeypatch.setenv(download.MIRROR_SETTING, with_user(mirror.url, f"somebody:{password}@"))
    assert refusal(monkeypatch, capfd, tmp_path).count("\n") == 1
    assert not mirror.requests


def test_password_is_not_shown_while_a_mirror_is_tried_again(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    mirror = start_mirror(files)
    mirror.script[FIRST] = [Answer(503)] * 3
    monkeypatch.setenv(download.MIRROR_SETTING, with_user(mirror.url))
    assert refusal(monkeypatch, capfd, tmp_path).count("; trying again\n") == 2


def test_password_follows_a_redirect_to_its_own_host_alone(
    start_mirror: StartMirror,
    files: dict[str, bytes],
    arrays: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, other = start_mirror(files), start_mirror(files)
    own.wants = BASIC
    own.script = {name: [Answer(302, location=f"{own.url}{name}")] for name in files}
    monkeypatch.setenv(download.MIRROR_SETTING, with_user(own.url))
    assert_same(download.fetch_mnist(), arrays)
    assert own.authorizations == [BASIC] * 8
    assert own.requests == [name for name in files for _ in range(2)]

    monkeypatch.setenv("VAEBENCH_CACHE", os.devnull)
    own.script = {name: [Answer(302, location=f"{other.url}{name}")] for name in files}
    assert_same(download.fetch_mnist(), arrays)
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
    assert_same(download.fetch_mnist(), arrays)
    cache = tmp_path / "cache/mnist"
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == files
    capsys.readouterr()
    monkeypatch.delattr(MNIST, "mirrors")
    assert_same(download.fetch_mnist(), arrays)
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
    download.fetch_mnist()
    kept = tmp_path / "cache/mnist" / FIRST
    body = kept.read_bytes()
    kept.unlink()
    if damage == "a folder":
        kept.mkdir()
    elif damage != "missing":
        kept.write_bytes({"altered": altered(body), "cut off": body[:-1], "empty": b""}[damage])
    capsys.readouterr()
    assert_same(download.fetch_mnist(), arrays)
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
    assert_same(download.fetch_mnist(), arrays)
    assert mirror.requests == list(files)
    [word] = [line for line in capsys.readouterr().err.splitlines() if "bytes from" not in line]
    assert word.startswith(f"MNIST: {tmp_path}/a file/mnist: cannot be written (")
    assert word.endswith("; VAEBENCH_CACHE names another folder")


def test_folder_is_read_in_place(folder: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    download.fetch_mnist()
    assert not (tmp_path / "cache").exists()
    assert not list((tmp_path / "scratch").iterdir())


# The form of the files.


@pytest.mark.parametrize("wrong", ["signed", "axes", "size", "too long", "too short", "head"])
def test_array_of_another_form_is_refused(wrong: str) -> None:
    images = torch.zeros(2, 28, 28, dtype=torch.uint8)
    body = gzip.decompress(idx_gz(images))
    content = {
        "signed": body[:2] + b"\x09" + body[3:],
        "axes": gzip.decompress(idx_gz(images.flatten(1))),
        "size": gzip.decompress(idx_gz(images.transpose(0, 1).reshape(2, 14, 56))),
        "too long": body + b"\0",
        "too short": body[:-1],
        "head": body[:6],
    }[wrong]
    with pytest.raises(StageError, match=rf"^MNIST: {FIRST}: no IDX file of 28x28 images$"):
        download._read_idx(FIRST, gzip.compress(content))


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
    assert done.stderr == "error: params.yaml: data.dataset must be mnist or digits, got 'fashion'\n"
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
