import inspect
import logging
import timeit
from types import ModuleType
from typing import get_args

import pytest

from queue_runtime.plugins import (
    Context,
    EngineStoppedInfo,
    ErrorInfo,
    ErrorVerdict,
    GitHub,
    Handler,
    PluginError,
    Plugins,
    Router,
    hookimpl,
    hookspecs,
    manager,
)
from queue_runtime.plugins.registration import HOOKS
from queue_runtime.providers.errors import QueueError
from tests.plugins.doubles import AT, delivery_of, info_of

STOPPED = EngineStoppedInfo(run_id="r-1", why="drained", at=AT)
ERROR = ErrorInfo(error=KeyError("x"), delivery=info_of().delivery, route="bot.review", attempt=1)


class Answers:
    """Answers every question with what it was made with."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    @hookimpl
    def queue_runtime_handler(self) -> object:
        return self._answered()

    @hookimpl
    def queue_runtime_session_id(self) -> object:
        return self._answered()

    @hookimpl
    def queue_runtime_idempotency_key(self) -> object:
        return self._answered()

    @hookimpl
    def queue_runtime_classify_error(self) -> object:
        return self._answered()

    def _answered(self) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Hears:
    """Notes that it was told, and raises if it was made with an error."""

    def __init__(self, heard: list[str], name: str, error: Exception | None = None) -> None:
        self.heard, self.name, self.error = heard, name, error

    @hookimpl
    def queue_runtime_engine_stopped(self) -> None:
        self.heard.append(self.name)
        if self.error is not None:
            raise self.error


def a_handler(route: str = "bot.review") -> Handler:
    def review(_ctx: Context) -> None: ...

    return Handler(route, review, is_async=False)


def method_of(hook: str) -> str:
    short = hook.removeprefix("queue_runtime_")
    if short in get_args(manager.Observation):
        return f"notify_{short}"
    return "classify" if short == "classify_error" else short


@pytest.mark.parametrize("hook", HOOKS)
def test_each_method_of_the_facade_is_typed_as_its_hook(hook: str) -> None:
    """The facade adds types to the hooks, and must not say anything else than they do."""
    spec = inspect.signature(getattr(hookspecs, hook))
    method = inspect.signature(getattr(Plugins, method_of(hook)))

    assert [*method.parameters.values()][1:] == [*spec.parameters.values()]
    assert method.return_annotation == spec.return_annotation


def test_every_hook_that_observes_can_be_asked_about() -> None:
    """`observes` knows every hook that returns nothing, and no other."""
    observers = {hook for hook in HOOKS if inspect.signature(getattr(hookspecs, hook)).return_annotation == "None"}

    assert {f"queue_runtime_{what}" for what in get_args(manager.Observation)} == observers


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_when_it_is_called(hook: str) -> None:
    """The specification of a hook is its docstring."""
    assert inspect.getdoc(getattr(hookspecs, hook))


def test_nobody_to_ask_is_no_answer() -> None:
    """Without plugins every question is answered with None."""
    plugins = Plugins([])

    assert plugins.handler(info_of()) is None
    assert plugins.session_id(info_of()) is None
    assert plugins.idempotency_key(info_of()) is None
    assert plugins.classify(ERROR) is None


def test_the_plugin_registered_last_answers_first() -> None:
    """A bot's own plugin overrules the ones listed before it."""
    plugins = Plugins([Answers(a_handler("first")), Answers(a_handler("last"))])

    answer = plugins.handler(info_of())

    assert answer is not None
    assert answer.route == "last"


def test_a_plugin_that_answers_none_leaves_it_to_the_next() -> None:
    """None means: ask somebody else."""
    plugins = Plugins([Answers("lane-1"), Answers(None)])

    assert plugins.session_id(info_of()) == "lane-1"
    assert plugins.idempotency_key(info_of()) == "lane-1"


def test_a_handler_hook_that_raises_fails_closed() -> None:
    """No other plugin is asked in its place, and the error names the plugin for whoever reads it."""
    plugins = Plugins([Answers(a_handler()), Answers(LookupError("no table"))])

    for _ in range(2):
        with pytest.raises(LookupError, match="no table") as raised:
            plugins.handler(info_of())

        assert raised.value.__notes__ == ["raised by queue_runtime_handler of plugin Answers-2"]


@pytest.mark.parametrize("method", ["handler", "session_id", "idempotency_key"])
def test_an_answer_of_a_wrong_type_is_the_plugins_error(method: str) -> None:
    """What the engine would stumble over later is named where it comes from."""
    plugins = Plugins([Answers(17)])

    with pytest.raises(PluginError, match=r"of plugin Answers answered a int; it may answer a (Handler|str) or None"):
        getattr(plugins, method)(info_of())


def test_a_session_id_that_no_broker_takes_is_refused() -> None:
    """A silent None would lose the order, so an invalid session id is an error."""
    with pytest.raises(QueueError, match="session_id"):
        Plugins([Answers("x" * 129)]).session_id(info_of())


def test_an_empty_idempotency_key_is_refused() -> None:
    """Under an empty key all messages would be duplicates of one another."""
    with pytest.raises(PluginError, match="answer None for the sender's message id"):
        Plugins([Answers("")]).idempotency_key(info_of())


@pytest.mark.parametrize("wrong", [LookupError("broken judge"), "permanent"])
def test_a_judge_that_fails_does_not_hide_the_error_that_it_judges(wrong: object) -> None:
    """A plugin that raises, or answers wrongly, is counted and passed over: the next verdict counts."""
    verdict = ErrorVerdict(transient=False)
    plugins = Plugins([Answers(verdict), Answers(wrong), Answers(None)])

    assert plugins.classify(ERROR) == verdict
    assert plugins.failures == {("Answers-2", "queue_runtime_classify_error"): 1}


def test_K39_observers_are_told_in_order_whatever_one_of_them_raises() -> None:
    """The last registered is told first, and a raising observer stops nobody (K39)."""
    heard: list[str] = []
    plugins = Plugins([Hears(heard, "a"), Hears(heard, "b", OSError("disk")), Hears(heard, "c")])

    plugins.notify_engine_stopped(STOPPED)

    assert heard == ["c", "b", "a"]
    assert plugins.failures == {("b", "queue_runtime_engine_stopped"): 1}


def test_a_failing_observer_is_logged_once_for_each_kind_of_error(caplog: pytest.LogCaptureFixture) -> None:
    """An observer that always raises is counted each time, and does not fill the log."""
    first, second = Hears([], "a", OSError("disk")), Hears([], "b", OSError("disk"))
    plugins = Plugins([first, second])

    with caplog.at_level(logging.ERROR, "queue_runtime.plugins"):
        for _ in range(3):
            plugins.notify_engine_stopped(STOPPED)
        first.error = KeyError("x")
        plugins.notify_engine_stopped(STOPPED)

    said = [record.getMessage().partition(";")[0] for record in caplog.records]
    assert sorted(said) == [
        "queue_runtime_engine_stopped of plugin a raised KeyError",
        "queue_runtime_engine_stopped of plugin a raised OSError",
        "queue_runtime_engine_stopped of plugin b raised OSError",
    ]
    assert plugins.failures == {
        ("a", "queue_runtime_engine_stopped"): 4,
        ("b", "queue_runtime_engine_stopped"): 4,
    }


def test_an_interrupt_in_an_observer_is_not_swallowed() -> None:
    """Isolation is for errors: whoever interrupts the process still can."""

    class Interrupted:
        @hookimpl
        def queue_runtime_engine_stopped(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Plugins([Interrupted()]).notify_engine_stopped(STOPPED)


def test_a_hook_may_take_its_argument_or_leave_it_out() -> None:
    """Whoever only wants to know that it happened need not take what happened."""
    told: list[object] = []

    class Bell:
        @hookimpl
        def queue_runtime_engine_stopped(self) -> None:
            told.append("rung")

    class Log:
        @hookimpl
        def queue_runtime_engine_stopped(self, info: EngineStoppedInfo) -> None:
            told.append(info)

    Plugins([Bell(), Log()]).notify_engine_stopped(STOPPED)

    assert told == [STOPPED, "rung"]


def test_tryfirst_and_trylast_move_a_plugin() -> None:
    """Pluggy's ordering marks are honoured by questions and by observations."""
    heard: list[str] = []

    class First:
        @hookimpl(tryfirst=True)
        def queue_runtime_engine_stopped(self) -> None:
            heard.append("first")

    class Last:
        @hookimpl(trylast=True)
        def queue_runtime_engine_stopped(self) -> None:
            heard.append("last")

    Plugins([First(), Hears(heard, "middle"), Last()]).notify_engine_stopped(STOPPED)

    assert heard == ["first", "middle", "last"]


@pytest.mark.parametrize("what", get_args(manager.Observation))
def test_each_notification_reaches_its_own_hook(what: str) -> None:
    """A plugin that observes one thing hears of that thing, with the info that the engine gave, and of no other."""
    told: list[object] = []
    module = ModuleType("observer")

    def observe(info: object) -> None:
        told.append(info)

    vars(module)["observe"] = hookimpl(specname=f"queue_runtime_{what}")(observe)
    plugins = Plugins([module])
    for other in get_args(manager.Observation):
        getattr(plugins, f"notify_{other}")(f"info of {other}")

    assert told == [f"info of {what}"]


def test_only_what_somebody_observes_needs_an_info() -> None:
    """The engine can see beforehand that nobody listens."""
    plugins = Plugins([Hears([], "a")])

    assert plugins.observes("engine_stopped")
    assert not any(plugins.observes(what) for what in get_args(manager.Observation) if what != "engine_stopped")


def test_an_info_shows_neither_receipt_nor_body() -> None:
    """Infos are logged by whoever debugs a plugin."""
    shown = repr(info_of(body=b"planted-body")) + repr(ErrorInfo(OSError(), info_of().delivery, "r", 1))

    assert "planted" not in shown
    assert delivery_of(info_of().message).receipt.handle == "planted-receipt"


def test_looking_up_a_handler_costs_microseconds() -> None:
    """It is asked before every attempt; the bound leaves a busy machine five times what it takes."""
    router = Router()

    @router.on("pull_request.*")
    def review(_ctx: Context) -> None: ...

    plugins, info = Plugins([GitHub(), router]), info_of("pull_request.opened")

    assert plugins.handler(info) is not None
    assert min(timeit.repeat(lambda: plugins.handler(info), number=1000, repeat=7)) / 1000 < 15e-6
