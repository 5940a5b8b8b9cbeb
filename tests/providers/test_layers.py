"""Settings come in layers; what is wrong in any of them is told at once, with its place and without its value."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from queue_runtime.engine import EngineSettings
from queue_runtime.engine.loading import load_settings
from queue_runtime.providers.client import QueueClient
from queue_runtime.providers.errors import ConfigurationError, InvalidSettings
from queue_runtime.providers.settings import ProviderSettings

PLANTED = "planted-secret-value"
VALUES = {"provider": {"provider": "memory", "queue_name": "pulls"}, "engine": {"concurrency": 7, "plugins": ["bot"]}}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("QUEUE_", "AWS_")) or name == "ENVIRONMENT":
            monkeypatch.delenv(name)


def toml(folder: Path, text: str) -> Path:
    file = folder / "bot.toml"
    file.write_text(text)
    return file


def test_f1_each_layer_wins_over_the_one_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default, file, environment, keyword: the last that has a value is used, and `origins` says which it was."""
    file = toml(tmp_path, "[engine]\nconcurrency = 2\nthreads = 2\nmax_lane = 2\n")
    monkeypatch.setenv("QUEUE_CONFIG", str(file))
    monkeypatch.setenv("QUEUE_ENGINE_THREADS", "3")
    monkeypatch.setenv("QUEUE_ENGINE_MAX_LANE", "3")

    settings = EngineSettings.load(max_lane=4)
    origins = EngineSettings.origins(max_lane=4)

    assert (settings.max_in_flight, settings.concurrency, settings.threads, settings.max_lane) == (300, 2, 3, 4)
    assert EngineSettings(max_lane=4) == settings
    assert [origins[name] for name in ("max_in_flight", "concurrency", "threads", "max_lane")] == [
        "default",
        f"engine in {file}",
        "QUEUE_ENGINE_THREADS",
        "passed",
    ]


def test_f1_layers_meet_under_every_name_of_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of another name goes before the file, and a keyword before both; bare names are no variables."""
    file = toml(tmp_path, '[provider]\nprovider = "memory"\nreceive_timeout_s = 1\nsqs_region = "here"\n')
    monkeypatch.setenv("receive_timeout_s", "9")
    monkeypatch.setenv("SQS_REGION", "nowhere")

    assert ProviderSettings.load(config=file).receive_timeout_s == 1
    assert ProviderSettings.load(config=file).sqs_region == "here"
    monkeypatch.setenv("QUEUE_RECEIVE_TIMEOUT_SECONDS", "2")
    monkeypatch.setenv("AWS_REGION", "there")
    assert ProviderSettings.load(config=file).receive_timeout_s == 2
    assert ProviderSettings.load(config=file).sqs_region == "there"
    assert ProviderSettings.load(config=file, receive_timeout_s=3).receive_timeout_s == 3


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_f1_yaml_and_json_say_the_same(tmp_path: Path, suffix: str) -> None:
    """One set of values in each kind of file gives the same settings."""
    file = tmp_path / f"bot{suffix}"
    file.write_text(json.dumps(VALUES) if suffix == ".json" else yaml.safe_dump(VALUES))

    loaded = load_settings(engine={"config": file}, provider={"config": file})

    assert (loaded.provider.provider, loaded.engine.queues) == ("memory", ("pulls",))
    assert (loaded.engine.concurrency, loaded.engine.plugins) == (7, ("bot",))


def test_yaml_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML is missing the error says what to install."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    file = tmp_path / "bot.yaml"
    file.write_text("provider: {provider: memory}")

    with pytest.raises(ConfigurationError, match=r"bot.yaml.*pip install 'queue-runtime\[yaml\]'"):
        ProviderSettings.load(config=file)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("bot.toml", f"[engine]\nx = {PLANTED}", "not TOML.*line 2"),
        ("bot.json", f'{{"engine": {{"x": {PLANTED}}}}}', "not JSON at line 1"),
        ("bot.yaml", f"engine:\n  journal_head_key: *{PLANTED}", "not YAML at line 2"),
        ("bot.yaml", f"engine:\n  journal_head_key: !!python/name:{PLANTED}", "not YAML at line 2"),
        ("bot.yaml", "engine:\n  x: 2024-99-99", "not YAML"),
        ("bot.yaml", "just words", "does not hold tables"),
        ("bot.toml", "[brokers]\nx = 1", "section 'brokers'.*provider and engine"),
        ("bot.toml", "engine = 1", "'engine' that is no table"),
        ("bot.json", "[" * 100_000, "nested too deeply"),
        ("bot.toml", "\udcff", "not UTF-8 at byte 0"),
        ("bot.toml", "#" * (1024 * 1024 + 1), "larger than"),
        ("bot.ini", "[engine]", "no kind that is read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_nothing_of_it_is_shown(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    """The error has the file, the place and the next step, and no value: not in its text, and not in its cause's."""
    file = tmp_path / name
    file.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(ConfigurationError, match=problem) as raised:
        EngineSettings.load(config=file)

    assert name in str(raised.value)
    assert PLANTED not in str(raised.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A file that was named has to exist: its settings were meant."""
    with pytest.raises(ConfigurationError, match=r"nowhere.toml.*QUEUE_CONFIG"):
        EngineSettings.load(config=tmp_path / "nowhere.toml")


def test_K16_F19_all_that_is_wrong_is_one_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each problem of both classes, in every layer, is named by where it was written; no value is shown."""
    text = f"[provider]\nsqs_longest_poll_s = 21\n[engine]\nconcurency = 5\njournal_head_key = '{PLANTED[:8]}'\n"
    file = toml(tmp_path, text)
    monkeypatch.setenv("QUEUE_PROVIDER", "memroy")
    monkeypatch.setenv("QUEUE_VISIBILITY_TIMEOUT_SECONDS", "43201")
    monkeypatch.setenv("AWS_REGION", "")
    monkeypatch.setenv("QUEUE_RECEIVE_TIMEOUT_SECONDS", "0")
    monkeypatch.setenv("QUEUE_NAME", "a--b")

    with pytest.raises(InvalidSettings) as raised:
        load_settings(engine={"config": file, "max_attempts": 0, "retry_multiplier": 0.5}, provider={"config": file})

    written = {problem.partition(":")[0] for problem in raised.value.problems}
    assert written == {
        f"sqs_longest_poll_s of provider in {file}",
        f"concurency of engine in {file}",
        f"journal_head_key of engine in {file}",
        "QUEUE_VISIBILITY_TIMEOUT_SECONDS",
        "AWS_REGION",
        "QUEUE_RECEIVE_TIMEOUT_SECONDS",
        "QUEUE_NAME",
        "max_attempts",
        "retry_multiplier",
    }
    assert PLANTED[:8] not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"provider": {"provider": "memroy"}}, r"'memroy' is not known here: use one of .*memory"),
        ({"engine": {"retry_initial_s": 9, "retry_max_s": 8}}, "retry_max_s: the longest delay, 8 s, is shorter"),
        ({"engine": {"handler_timeout_s": float("inf")}}, "handler_timeout_s: .*finite"),
        ({"engine": {"drain_s": -1}}, "drain_s: "),
        ({"provider": {"provider": "sqs", "queue_name": "q" * 81}}, "queue_name: .*81 characters.* allows 80"),
        (
            {"provider": {"provider": "aws", "queue_name": "q.fifo", "sqs_dead_letter_queue": "q-dlq"}},
            "sqs_dead_letter_queue: 'q-dlq' and queue 'q.fifo' are not of one kind",
        ),
        ({"provider": {"bots": "["}}, "bots"),
    ],
)
def test_F19_what_cannot_be_right_is_refused(settings: dict[str, dict[str, object]], problem: str) -> None:
    """Nothing is made of it, and the setting is named."""
    provider = {"provider": "memory", **settings.get("provider", {})}

    with pytest.raises(InvalidSettings, match=problem):
        load_settings(settings.get("engine", {}), provider)


def test_a_variable_that_should_hold_json_and_does_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`QUEUE_BOTS` is a list of tables; what cannot be read as one is an error like any other."""
    monkeypatch.setenv("QUEUE_BOTS", f"[{PLANTED}")

    with pytest.raises(InvalidSettings, match="QUEUE_BOTS: should be a JSON array") as raised:
        ProviderSettings.load(provider="memory")
    assert PLANTED not in str(raised.value)


def test_P10_of_two_names_the_first_wins_and_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two variables of one setting are told if they differ, by name and not by value."""
    monkeypatch.setenv("QUEUE_SQS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_REGION", "us-west-2")

    assert ProviderSettings.load(provider="aws").sqs_region == "eu-north-1"
    assert caplog.messages == ["QUEUE_SQS_REGION and AWS_REGION differ, and mean one setting: QUEUE_SQS_REGION is used"]
    caplog.clear()
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    ProviderSettings.load(provider="aws")
    assert caplog.messages == []


def test_a_client_reads_the_file_too(tmp_path: Path) -> None:
    """`QueueClient.from_settings(config=...)` takes the same layers as an engine."""
    with pytest.raises(InvalidSettings, match=f"queue_name of provider in {tmp_path}"):
        QueueClient.from_settings(config=toml(tmp_path, '[provider]\nprovider = "memory"\nqueue_name = "a b"\n'))


def test_the_digest_is_of_the_values_and_not_of_where_they_were_written(tmp_path: Path) -> None:
    """A journal that sees two runs with one digest saw the same values."""
    file = toml(tmp_path, "[engine]\nconcurrency = 3\n")

    assert EngineSettings(config=file).digest() == EngineSettings(concurrency=3).digest() != EngineSettings().digest()
