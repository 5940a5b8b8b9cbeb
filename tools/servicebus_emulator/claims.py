"""Who may do what: shared access signatures and JWTs, checked as they are put, and held until they expire."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Flag, auto
from typing import cast
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit

from queue_runtime.tools.servicebus_emulator.broker.refusal import Condition, Refused

__all__ = ["ALL_RIGHTS", "AccessKey", "Claims", "Right", "path_of", "read_token"]

SAS = "SharedAccessSignature "


class Right(Flag):
    """What a claim allows. Source: Service Bus, "Service Bus access control with Shared Access Signatures"."""

    SEND = auto()
    LISTEN = auto()
    MANAGE = auto()


ALL_RIGHTS = Right.SEND | Right.LISTEN | Right.MANAGE
"""What the policy of the root key allows."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A shared access policy.

    Args:
        key: the secret.
        rights: what it allows.
    """

    key: str
    rights: Right = ALL_RIGHTS

    def __repr__(self) -> str:
        return f"AccessKey(key=..., rights={self.rights!r})"


def path_of(address: str) -> str:
    """Return the path of an entity, in small letters, from its address with or without scheme and host."""
    path = urlsplit(address).path if "://" in address else address
    return unquote(path).strip("/").lower()


def read_token(token: str, audience: str, keys: Mapping[str, AccessKey]) -> tuple[Right, int]:
    """Return what a token allows on an audience, and when it expires, in seconds since the epoch.

    A JWT's signature is not checked, since nobody issues tokens for an emulator. Its claim `rights`, a list of `Send`,
    `Listen` and `Manage`, stands for the roles that a real service would look up; without it all is allowed.

    Raises:
        Refused: it is no token, or not for this audience, or its signature is wrong.
    """
    try:
        if token.startswith(SAS):
            return _read_sas(token, audience, keys)
        return _read_jwt(token)
    except (ValueError, KeyError, TypeError) as error:
        text = f"the token for {path_of(audience)!r} cannot be read: pass a shared access signature or a JWT"
        raise Refused(Condition.UNAUTHORIZED, text) from error


def _read_sas(token: str, audience: str, keys: Mapping[str, AccessKey]) -> tuple[Right, int]:
    parts = {name: values[0] for name, values in parse_qs(token.removeprefix(SAS)).items()}
    resource, signature, name = parts["sr"], parts["sig"], parts["skn"]
    key = keys.get(name)
    if key is None:
        raise Refused(Condition.UNAUTHORIZED, f"there is no shared access policy {name!r}; use one of the emulator's")
    raw = {part.partition("=")[0]: part.partition("=")[2] for part in token.removeprefix(SAS).split("&")}
    signed = {f"{text}\n{parts['se']}" for text in (raw["sr"], quote_plus(resource))}
    digests = (hmac.digest(key.key.encode(), text.encode(), hashlib.sha256) for text in signed)
    if not any(hmac.compare_digest(base64.b64encode(digest).decode(), signature) for digest in digests):
        raise Refused(Condition.UNAUTHORIZED, f"the signature with policy {name!r} is wrong; check its key")
    covered, wanted = path_of(resource), path_of(audience)
    if covered and wanted != covered and not wanted.startswith(covered + "/"):
        raise Refused(Condition.UNAUTHORIZED, f"a signature for {covered!r} does not cover {wanted!r}; sign for that")
    return key.rights, int(parts["se"])


def _read_jwt(token: str) -> tuple[Right, int]:
    _, payload, _ = token.split(".")
    decoded: object = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims = cast("dict[str, object]", decoded)
    named = claims.get("rights")
    expires = claims["exp"]
    if not isinstance(expires, int | float):
        msg = "exp is no number"
        raise ValueError(msg)  # noqa: TRY004 - what cannot be read is one kind of failure here
    if not isinstance(named, list):
        return ALL_RIGHTS, int(expires)
    rights = Right(0)
    for one in cast("list[object]", named):
        rights |= Right[str(one).upper()]
    return rights, int(expires)


class Claims:
    """What one connection may do, as its tokens say."""

    def __init__(self) -> None:
        self._grants: dict[str, tuple[Right, int]] = {}

    def grant(self, path: str, rights: Right, expires_at: int) -> None:
        """Note what a token allows on a path and below it, until an instant in microseconds."""
        self._grants[path] = (rights, expires_at)

    def allows(self, path: str, right: Right, now: int) -> bool:
        """Return whether a token that has not expired allows one of the rights on a path."""
        return any(
            bool(rights & right)
            and expires_at > now
            and (not covered or path == covered or path.startswith(covered + "/"))
            for covered, (rights, expires_at) in self._grants.items()
        )

    def check(self, path: str, right: Right, now: int) -> None:
        """Let an operation pass.

        Raises:
            Refused: no token allows it.
        """
        if not self.allows(path, right, now):
            wanted = " or ".join(one.name or "" for one in right)
            text = f"{wanted} on {path!r} is not allowed: no claim for it, or the token has expired; put a new token"
            raise Refused(Condition.UNAUTHORIZED, text)

    def is_granted(self, path: str, now: int) -> bool:
        """Return whether a token that has not expired allows anything on a path."""
        return self.allows(path, ALL_RIGHTS, now)

    def next_at(self, now: int) -> int | None:
        """Return the instant at which the next token expires."""
        return min((expires_at for _, expires_at in self._grants.values() if expires_at > now), default=None)

    def expire(self) -> None:
        """Let every token expire now."""
        self._grants.clear()
