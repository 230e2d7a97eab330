"""What is shown of addresses: all but the user and the password that they may hold."""

import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

# Passwords hold `@`: what stands before a host reaches to the last one. No host holds a `/` or a quote.
_USER_INFO = re.compile(r"(?<=://)[^/?#\s\"']*@")
_QUERY = re.compile(r"([?&][\w.-]*(?:passw|pwd|secret|token|user|sig)[\w.-]*=)[^&#\s\"']+", re.IGNORECASE)

_CREDENTIALS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_USER = "MLFLOW_TRACKING_USERNAME"
_ADDRESSES = re.compile(r"MLFLOW_|VAEBENCH_|.*_PROXY$", re.IGNORECASE)  # variables that may hold one

_STRUCK = "***"
# A secret that may be a part of ordinary words, such as `mlflow`, is struck where it stands alone.
_WEAK = re.compile(r".{1,3}|[A-Za-z]{4,8}")


def bare(address: str) -> str:
    """Return an address without user and password; in a text, all addresses."""
    return _QUERY.sub(rf"\1{_STRUCK}", _USER_INFO.sub("", address))


def public(text: str) -> str:
    """Return the text without a user or a password: of no address in it, and of none that is set.

    Libraries also print parts of an address that they cannot read, such as a password in place of a port.
    """
    for user_info in _user_infos(os.environ):
        text = text.replace(f"://{user_info}@", "://")
    users, passwords = _known(os.environ)
    for secret in sorted(users | passwords, key=len, reverse=True):
        alone = secret not in passwords or _WEAK.fullmatch(secret)
        text = _strike_word(secret, text) if alone else text.replace(secret, _STRUCK)
    return bare(text)


def one_line(message: str) -> str:
    """Shorten to a line without a password."""
    return textwrap.shorten(public(message), 500, placeholder=" ...")


def _known(environment: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """Return the users and the passwords that are set, in all forms in which a library may print them."""
    users = {environment.get(_USER, "")}
    passwords = {environment.get(name, "") for name in _CREDENTIALS}
    for user_info in _user_infos(environment):
        user, colon, password = user_info.partition(":")
        (users if colon else passwords).add(user)  # a token stands alone
        passwords |= {password, *re.split(r"[/?#@:]", password)}
    return _forms(users), _forms(passwords)


def _user_infos(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what stands before the host in addresses that are set."""
    for name, value in environment.items():
        if _ADDRESSES.match(name) and "://" in value and "@" in value:
            rest = value.partition("://")[2]
            authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
            if "@" in authority:
                yield authority.rpartition("@")[0]
            elif re.search(r"^[^[]*:\D", authority):  # no port: a password with a `/`, which no library takes
                yield rest.rpartition("@")[0]


def _forms(secrets: set[str]) -> set[str]:
    decoded = secrets | {unquote(secret) for secret in secrets}
    every = decoded | {quote(secret, safe="") for secret in decoded} | {repr(each)[1:-1] for each in decoded}
    return every - {""}


def _strike_word(word: str, text: str) -> str:
    before = r"(?:(?<![\w./-])|(?<=%[0-9A-Fa-f]{2}))"
    return re.sub(rf"{before}{re.escape(word)}(?![\w/-]|\.\w)", _STRUCK, text)
