import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_runtime.plugins import Context, PluginError, Plugins, RouteOptions, Router
from tests.plugins.doubles import info_of


def chosen(router: Router, event: str | None) -> str | None:
    handler = Plugins([router]).handler(info_of(event))
    return None if handler is None else handler.route.rpartition(".")[2]


def router_with(*patterns: str) -> Router:
    """Make a router whose handlers are named after their patterns."""
    router = Router()
    for pattern in patterns:

        def handle(_ctx: Context) -> None: ...

        handle.__qualname__ = pattern.replace(".", "/")
        router.on(pattern)(handle)
    return router


@pytest.mark.parametrize(
    ("event", "pattern"),
    [
        ("pull_request.opened", "pull_request/opened"),
        ("pull_request.closed", "pull_request/*"),
        ("pull_request", "pull_request"),
        ("pull_request.review.submitted", "pull_request/*"),
        ("issues.opened", "issues"),
        ("push", "*"),
        ("pull_requests", "*"),
        ("", "*"),
        ("..", "*"),
        (None, "*"),
    ],
)
def test_the_most_specific_pattern_wins(event: str | None, pattern: str) -> None:
    """The event itself, then what is below a word, then the word, then everything."""
    router = router_with("*", "pull_request", "pull_request.opened", "issues", "pull_request.*")

    assert chosen(router, event) == pattern


@pytest.mark.parametrize("event", ["push", "pull_request", "pull_requests.opened", None])
def test_an_event_that_nothing_matches_has_no_handler(event: str | None) -> None:
    """The router leaves to others what it was not told about."""
    assert chosen(router_with("pull_request.*"), event) is None


def test_an_overlong_event_name_is_no_name() -> None:
    """A name of many dots would cost a look-up for each."""
    assert chosen(router_with("a"), "a" + "." * 300) is None
    assert chosen(router_with("*", "a"), "a" + "." * 300) == "*"


@given(
    event=st.text(alphabet="ab.*", max_size=12), patterns=st.sets(st.sampled_from(["a", "a.b", "a.*", "a.b.*", "*"]))
)
def test_the_look_up_agrees_with_the_rules_of_the_patterns(event: str, patterns: set[str]) -> None:
    """Whatever the event, the winner is the most specific pattern that matches it, read literally."""

    def matches(pattern: str) -> bool:
        if pattern == "*":
            return True
        if pattern.endswith(".*"):
            return event.startswith(pattern[:-1]) or event == pattern
        return event == pattern or event.startswith(f"{pattern}.")

    most_specific_first = [event, "a.b.*", "a.b", "a.*", "a", "*"]
    winner = next((pattern for pattern in most_specific_first if pattern in patterns and matches(pattern)), None)

    assert chosen(router_with(*patterns), event) == (winner and winner.replace(".", "/"))


def test_one_function_may_handle_several_events() -> None:
    """Every pattern of one registration leads to the same handler, and the function stays callable as it was."""
    router = Router()

    @router.on("pull_request.opened", "pull_request.synchronize")
    def review(ctx: Context) -> str:
        return f"attempt {ctx.attempt}"

    plugins = Plugins([router])

    assert plugins.handler(info_of("pull_request.opened")) is plugins.handler(info_of("pull_request.synchronize"))
    assert review.__name__ == "review"


def test_a_route_is_named_after_its_function() -> None:
    """The journal knows a handler by module and qualified name, which stay the same from start to start."""
    handler = Plugins([router_with("push")]).handler(info_of("push"))

    assert handler is not None
    assert handler.route == f"{__name__}.push"


def test_options_reach_the_handler() -> None:
    """What a route says of its attempts is what the engine is told."""
    router = Router()

    @router.on("push", timeout_s=30, max_attempts=3, session_failure="park")
    def handle(_ctx: Context) -> None: ...

    handler = Plugins([router]).handler(info_of("push"))

    assert handler is not None
    assert handler.options == RouteOptions(timeout_s=30, max_attempts=3, session_failure="park")
    assert handle.__name__ == "handle"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"session_failure": "stop"}, "session_failure is 'stop'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], fault: str) -> None:
    """A wrong option stops the bot at start-up, and not a message later."""
    with pytest.raises(PluginError, match=fault):
        RouteOptions(**options)  # pyright: ignore[reportArgumentType]  wrong values are the point


@pytest.mark.parametrize("pattern", ["", ".", "a.", ".a", "a..b", "*.a", "a*", "a.b*", "**", "a.*.b"])
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    """A pattern that could never match as it was meant is an error."""
    with pytest.raises(PluginError, match="is no pattern"):
        router_with(pattern)


def test_no_pattern_is_refused() -> None:
    """A handler of nothing was not meant."""
    with pytest.raises(PluginError, match="needs at least one event"):
        Router().on()


def test_K41_two_handlers_of_one_pattern_are_refused() -> None:
    """Which of two would run must not depend on the order of imports."""
    with pytest.raises(PluginError, match=r"'push' is handled by .*push already"):
        router_with("push", "push")


def test_a_refused_registration_leaves_nothing_behind() -> None:
    """Of several patterns, none is taken if one of them is refused."""
    router = router_with("push")

    def other(_ctx: Context) -> None: ...

    with pytest.raises(PluginError):
        router.on("issues", "push")(other)

    assert chosen(router, "issues") is None


def test_another_source_of_names_may_be_given() -> None:
    """Senders that name events elsewhere than in the attribute `event` can be served."""
    router = Router(event_name=lambda info: info.message.attributes.get("kind"))

    @router.on("order.created")
    def handle(_ctx: Context) -> None: ...

    info = info_of("order.created")

    assert Plugins([router]).handler(info) is None
    assert handle.__name__ == "handle"
