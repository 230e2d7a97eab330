"""Users and passwords of addresses are shown nowhere, in whatever form a library prints them."""

import http.client
import os
from collections.abc import Callable
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import requests

from vaebench.pipeline.secrets import bare, one_line, public
from vaebench.tracking.store import prepare_mlflow

SETTINGS = (
    "MLFLOW_TRACKING_URI",
    "VAEBENCH_MNIST_MIRROR",
    "VAEBENCH_MIRROR",
    "MLFLOW_REGISTRY_URI",
    "https_proxy",
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("MLflow at http://me:pw@host:5000/a failed", "MLflow at http://host:5000/a failed"),
        ("http://me:s3@cret@pw@host", "http://host"),
        ("https://TOKEN@host/a.git", "https://host/a.git"),
        ("'postgresql+psycopg2://me:p%40w@host/db'", "'postgresql+psycopg2://host/db'"),
        ("http://a:b@one and http://c:d@two", "http://one and http://two"),
        ("http://[::1]:5000/a", "http://[::1]:5000/a"),
        ("http://host/me@home", "http://host/me@home"),
        ("http://host?to=me@home", "http://host?to=me@home"),
        ("'http://host' or 'me@home'", "'http://host' or 'me@home'"),
        ("sqlite:////a/mlflow.db, me@home", "sqlite:////a/mlflow.db, me@home"),
        ("postgresql://host/db?user=me&password=pw&sslmode=on", "postgresql://host/db?user=***&password=***&sslmode=on"),
    ],
)  # fmt: skip
def test_text_is_shown_without_user_and_password(text: str, shown: str) -> None:
    assert bare(text) == public(text) == shown


def ask(url: str) -> object:
    return urlopen(url, timeout=1)


def parse(url: str) -> object:
    return urlsplit(url).port


def connect(url: str) -> object:
    return http.client.HTTPConnection(url.partition("://")[2].partition("/")[0])


def get(url: str) -> object:
    return requests.get(url, timeout=1)


@pytest.mark.parametrize("name", ["VAEBENCH_MNIST_MIRROR", "VAEBENCH_MIRROR"])
@pytest.mark.parametrize("call", [ask, parse, connect, get])
@pytest.mark.parametrize(
    "password", ["s3@cretpw", "s3/cretpw", "s3:cretpw", "s3#cretpw", "s3?cretpw", "s3%40cretpw", "s3 cretpw"]
)
def test_part_of_a_password_that_a_library_prints_is_struck_out(
    monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[str], object], password: str
) -> None:
    url = f"http://somebody:{password}@127.0.0.1:1/mnist"
    monkeypatch.setenv(name, url)
    try:
        call(url)
    except (OSError, ValueError, http.client.HTTPException) as error:
        said = public(f"{url}: {error!r} {error}")
        assert said.startswith("http://127.0.0.1:1/mnist: ")
        for part in ("s3", "cretpw", "somebody"):
            assert part not in said


@pytest.mark.parametrize("name", SETTINGS)
def test_secret_of_an_address_that_is_set_is_struck_out_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://somebody:hunter%242@host")
    for secret in ("hunter%242", "hunter$2"):
        assert public(f"bad password {secret}, of somebody") == "bad password ***, of ***"
    monkeypatch.setenv(name, "http://a1b2c3@host")
    assert public("bad token a1b2c3") == "bad token ***"


@pytest.mark.parametrize("name", ["PASSWORD", "TOKEN", "USERNAME"])
def test_secret_of_its_own_variable_is_struck_out(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "a1b2c3")
    assert public("refused: 'a1b2c3'") == "refused: '***'"


def test_user_or_password_that_is_a_common_word_leaves_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mlflow:postgres@host/db")
    text = "MLflow at postgresql://host/db failed (no role 'mlflow'); mlflow.unsent keeps /a/mlflow.db"
    assert public(text) == text.replace("'mlflow'", "'***'")
    assert public("password 'postgres' is wrong") == "password '***' is wrong"
    assert public("host%3Apostgres%40") == "host%3A***%40"


@pytest.mark.parametrize("host", ["host", "host:5000", "[::1]", "[::1]:5000"])
def test_address_without_user_is_no_secret(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{host}/me@home")
    text = f"{host} 5000 me /me at http://{host}/me@home"
    assert public(text) == text


def test_mlflow_prints_no_address_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    prepare_mlflow()
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"


def test_long_message_is_a_line_and_no_secret_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a1b2c3d4")
    line = one_line("x " * 246 + "\n a1b2c3d4 " + "y " * 99)
    assert len(line) <= 500
    assert "a1b2" not in line
