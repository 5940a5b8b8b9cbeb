"""Where keys come from: texts, files and stores, and that no key is ever shown."""

import base64
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from queue_runtime.plugins.encryption import CachedKeys, Encryption, FileKeys, Key, MemoryKeys, keys_of_text
from queue_runtime.providers.bodies import BodyCipher
from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.errors import ConfigurationError, KeyNotFound, KeyProviderError
from queue_runtime.providers.registry import cipher_from_settings
from queue_runtime.providers.settings import ProviderSettings
from tests.plugins.encrypted import BODY, MATERIAL, QUEUE, S, cipher, delivery, key, message
from tests.providers.fake_clock import START, FakeClock

ENCODED = base64.b64encode(MATERIAL).decode()
SHOWN = (ENCODED, MATERIAL.hex(), repr(MATERIAL), "\\x01\\x02\\x03\\x04")


def test_L31_no_key_is_ever_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Neither by what holds it, nor by what is wrong with it; its id may be."""
    held = Key("k1", MATERIAL)
    keys = MemoryKeys((held,))
    texts = [repr(held), str(held), repr(keys), repr(Encryption(keys)), repr(CachedKeys(keys))]
    for text in (f"k1:{ENCODED}x", f"k1{ENCODED}", f"k1:{ENCODED[:-8]}", f"k\x07:{ENCODED}"):
        with pytest.raises(ConfigurationError) as caught:
            keys_of_text(text)
        texts += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]

    assert "k1" in texts[0]
    assert [secret for secret in SHOWN for text in (*texts, caplog.text) if secret in text] == []


def test_L31_key_material_is_overwritten_when_it_is_dropped() -> None:
    """And who gave the bytes keeps his own."""
    given = bytearray(MATERIAL)
    held = Key("k1", given)
    keys = MemoryKeys((held,))

    keys.remove("k1")

    assert held.is_closed
    assert held.material == bytes(32)
    assert given == MATERIAL


async def test_L31_closing_a_cipher_overwrites_its_keys() -> None:
    """Also those that a cache holds."""
    held, cached = key("a"), key("b")
    store = MemoryKeys((cached,))
    for keys in (MemoryKeys((held,)), CachedKeys(store)):
        both = Encryption(keys)
        await both.seal(QUEUE, message())
        await both.close()
        await both.close()

    assert held.is_closed
    assert cached.is_closed


@pytest.mark.parametrize(
    "odd", [("", MATERIAL), ("x" * 129, MATERIAL), ("k", MATERIAL[:16]), ("k", MATERIAL * 2), ("k", bytes(32))]
)
def test_a_key_that_cannot_be_used_is_refused(odd: tuple[str, bytes]) -> None:
    """Its id is printable and not too long, it has 256 bits, and they are not all zero."""
    with pytest.raises(ConfigurationError):
        Key(*odd)


def test_two_keys_of_one_id_are_refused() -> None:
    """Nobody could say which of them a message asks for."""
    with pytest.raises(ConfigurationError, match="two keys 'k1'"):
        MemoryKeys((key("k1"), key("k1", 2)))


async def test_the_key_made_last_that_has_not_expired_encrypts() -> None:
    """Among keys made at once, the last."""
    clock = FakeClock()
    keys = MemoryKeys((key("a", 1), key("b", 3, expires_at=START + 10 * S), key("c", 2), key("d", 2)), clock)

    assert await keys.current_key_id() == "b"
    await clock.advance(10)

    assert await keys.current_key_id() == "d"
    assert set(await keys.valid_key_ids()) == {"a", "b", "c", "d"}


async def test_the_last_key_of_a_text_encrypts() -> None:
    """As a rotation appends one."""
    keys = MemoryKeys(keys_of_text(f" a:{ENCODED}, b:{ENCODED} ,"))

    assert await keys.valid_key_ids() == ("a", "b")
    assert await keys.current_key_id() == "b"
    assert (await keys.get_key("a")).material == MATERIAL


# --- files -------------------------------------------------------------------------------------------------------


def _write(path: Path, *ids: str) -> None:
    keys = [{"id": key_id, "key": ENCODED, "created_at": f"2026-01-0{n}T00:00:00Z"} for n, key_id in enumerate(ids, 1)]
    path.write_text(json.dumps({"keys": keys}), encoding="utf-8")


async def test_keys_are_read_from_a_file_and_replaced_with_it(tmp_path: Path) -> None:
    """Without a restart; what was removed is gone."""
    path = tmp_path / "keys.json"
    keys = FileKeys(path)
    _write(path, "a", "b")

    assert await keys.current_key_id() == "b"
    assert (await keys.get_key("a")).material == MATERIAL
    _write(path, "b", "c")

    assert await keys.current_key_id() == "c"
    assert await keys.valid_key_ids() == ("b", "c")
    with pytest.raises(KeyNotFound):
        await keys.get_key("a")


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        f'{{"keys": [{{"id": "a", "key": "{ENCODED}"}}]}}',
        f'{{"keys": [{{"id": "a", "key": "{ENCODED[:-8]}", "created_at": "2026-01-01T00:00:00Z"}}]}}',
        f'{{"keys": [{{"id": "a", "key": "{ENCODED}", "created_at": "2026-01-01T00:00:00Z", "{ENCODED}": 1}}]}}',
    ],
    ids=["missing", "half", "no instant", "short key", "unknown field"],
)
async def test_a_file_that_cannot_be_used_may_pass(
    content: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be in the middle of being replaced. The log says what is wrong, and shows nothing of a key."""
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(KeyProviderError) as caught:
        await FileKeys(path).get_key("a")

    assert caught.value.transient
    assert "keys.json" in caplog.text
    assert [
        text for text in (caplog.text, str(caught.value), repr(caught.value.__cause__)) if ENCODED[:30] in text
    ] == []


# --- the cache ---------------------------------------------------------------------------------------------------


class Store:
    """Hands out copies of keys, and counts how often it is asked; it can be down."""

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)
        self.asked = 0
        self.is_down = False

    async def get_key(self, key_id: str) -> Key:
        self._ask()
        if key_id not in self.ids:
            raise KeyNotFound(key_id)
        return Key(key_id, MATERIAL)

    async def current_key_id(self) -> str:
        self._ask()
        return self.ids[-1]

    async def valid_key_ids(self) -> Sequence[str]:
        self._ask()
        return tuple(self.ids)

    async def close(self) -> None:
        self.ids.clear()

    def _ask(self) -> None:
        self.asked += 1
        if self.is_down:
            raise KeyProviderError(self.ids[-1])


async def test_a_cache_asks_once_in_its_time() -> None:
    """After that again: a rotation is seen then, and a removed key is gone and overwritten."""
    store, clock = Store("a"), FakeClock()
    keys = CachedKeys(store, 300.0, clock)
    held = await keys.get_key("a")
    for _ in range(3):
        assert await keys.current_key_id() == "a"
        assert await keys.get_key("a") is held
    assert store.asked == 2
    store.ids = ["b"]
    await clock.advance(299)
    assert await keys.current_key_id() == "a"
    await clock.advance(1)

    assert await keys.current_key_id() == "b"
    with pytest.raises(KeyNotFound):
        await keys.get_key("a")
    assert held.is_closed
    assert await keys.valid_key_ids() == ("b",)


async def test_a_new_key_is_asked_for_at_once_and_a_missing_one_not_again_at_once() -> None:
    """Whoever may send can name keys that do not exist; the store is not to be asked for each of his messages."""
    store, clock = Store("a"), FakeClock()
    keys = CachedKeys(store, 300.0, clock)
    for _ in range(10):
        with pytest.raises(KeyNotFound):
            await keys.get_key("b")
    assert store.asked == 1
    store.ids.append("b")
    await clock.advance(5)

    assert (await keys.get_key("b")).material == MATERIAL
    for number in range(1_500):
        with pytest.raises(KeyNotFound):
            await keys.get_key(f"forged {number}")
    assert len(keys._misses) == 1_000  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the bound of its memory


async def test_a_store_that_is_down_stops_nothing_that_was_seen_before(caplog: pytest.LogCaptureFixture) -> None:
    """What was not seen yet is a transient error."""
    store, clock = Store("a"), FakeClock()
    keys = CachedKeys(store, 10.0, clock)
    both = Encryption(keys, clock=clock)
    travels = await both.seal(QUEUE, message())
    store.is_down = True
    await clock.advance(11)

    assert (await both.open(delivery(travels))).message.body == BODY
    assert (await both.seal(QUEUE, message(b"more"))).body != b"more"
    assert "as it was known" in caplog.text
    with pytest.raises(KeyProviderError):
        await keys.get_key("c")


async def test_whatever_a_store_of_somebody_else_raises_may_pass() -> None:
    """Its SDK's errors are no words of ours."""

    class Broken(Store):
        async def get_key(self, key_id: str) -> Key:
            msg = f"throttled: {key_id}"
            raise OSError(msg)

    with pytest.raises(KeyProviderError) as caught:
        await Encryption(Broken("a")).seal(QUEUE, message())

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.context.message_id == "m1"


# --- settings ----------------------------------------------------------------------------------------------------


def _settings(**given: object) -> ProviderSettings:
    return ProviderSettings.model_validate({"provider": "memory", **given})


def test_L32_without_keys_there_is_no_cipher() -> None:
    """Off by default: nobody is asked about a body, and nothing is imported for it."""
    assert _settings().encryption_enabled is False
    assert cipher_from_settings(_settings()) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"encryption_enabled": True},
        {"encryption_plain": "reject"},
        {"encryption_keys": f"a:{ENCODED}", "encryption_key_file": "keys.json"},
        {"encryption_keys": f"a:{ENCODED}", "encryption_max_age_s": 0},
        {"encryption_keys": f"a:{ENCODED}", "encryption_plain": "maybe"},
        {"encryption_keys": f"a:{ENCODED}", "encryption_track_nonces": True, "encryption_max_age_s": 700},
    ],
    ids=lambda odd: "-".join(name.removeprefix("encryption_") for name in odd),
)
def test_settings_of_encryption_that_cannot_work_are_errors(odd: dict[str, object]) -> None:
    """Before anything is opened; the text names fields and shows no key."""
    with pytest.raises(ValidationError, match="encryption") as caught:
        _settings(**odd)

    assert ENCODED not in str(caught.value)


async def _opens(receiver: BodyCipher | None) -> bool:
    assert receiver is not None
    sender = cipher(Key("b", MATERIAL))
    opened = await receiver.open(delivery(await sender.seal(QUEUE, message())))
    await receiver.close()
    return opened.message.body == BODY


async def test_keys_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By settings alone."""
    path = tmp_path / "keys.json"
    _write(path, "a", "b")
    monkeypatch.setenv("QUEUE_ENCRYPTION_KEY_FILE", str(path))
    assert await _opens(cipher_from_settings(_settings()))
    monkeypatch.delenv("QUEUE_ENCRYPTION_KEY_FILE")
    monkeypatch.setenv("QUEUE_ENCRYPTION_KEYS", f"a:{ENCODED},b:{ENCODED}")
    monkeypatch.setenv("QUEUE_ENCRYPTION_ENABLED", "true")

    assert await _opens(cipher_from_settings(_settings()))
    assert ENCODED not in repr(_settings())
    assert _settings().encryption_keys == SecretStr(f"a:{ENCODED},b:{ENCODED}")


def test_L39_without_the_extra_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the cipher is made, and not with the first message."""
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'queue-runtime\[crypto\]'"):
        cipher_from_settings(_settings(encryption_keys=f"a:{ENCODED}"))


def test_the_instants_of_keys_are_those_of_the_file() -> None:
    """A key expires at its own instant."""
    held = key(expires_at=START)

    assert not held.is_expired(Timestamp(START - 1))
    assert held.is_expired(START)


def test_a_cipher_that_is_not_registered_is_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An installation without the entry point cannot encrypt, and must not send plain instead."""
    monkeypatch.setattr("queue_runtime.providers.registry.CIPHER_GROUP", "nobody.registers.here")
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigurationError, match="no cipher is registered"):
        cipher_from_settings(_settings(encryption_keys=f"a:{ENCODED}"))

    assert ENCODED not in caplog.text
