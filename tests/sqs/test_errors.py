"""Every code of the service, over HTTP, is one of our errors; what the SDK raises by itself is too."""

import pytest

from queue_runtime.providers.clock import Timestamp
from queue_runtime.providers.conformance import QueueRules
from queue_runtime.providers.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    BatchTooLarge,
    Category,
    ConfigurationError,
    ConnectionFailed,
    InvalidFormat,
    InvalidMessage,
    InvalidReceipt,
    MessageTooLarge,
    OperationTimeout,
    ProviderClosed,
    ProviderError,
    QueueError,
    QueueNotFound,
    RequiredField,
    ServiceThrottled,
    UnsupportedOperation,
)
from queue_runtime.providers.message import Message, QueueName, Receipt
from queue_runtime.providers.port import Address, SettleKind, Settlement
from queue_runtime.providers.sqs import SqsProvider, SqsSettings
from queue_runtime.providers.sqs.errors import About, error_of_exception
from tests.sqs.servers import REGION, SqsHarness
from tests.sqs.strict import Fault, StrictServer

LEGACY = "AWS.SimpleQueueService."
CALLS = {
    f"{LEGACY}NonExistentQueue": QueueNotFound,
    "QueueDoesNotExist": QueueNotFound,
    f"{LEGACY}QueueDeletedRecently": QueueNotFound,
    "RequestThrottled": ServiceThrottled,
    "Throttling": ServiceThrottled,
    "ThrottlingException": ServiceThrottled,
    "OverLimit": ServiceThrottled,
    "KmsThrottled": ServiceThrottled,
    "AccessDenied": AuthorizationFailed,
    "AccessDeniedException": AuthorizationFailed,
    "KmsAccessDenied": AuthorizationFailed,
    "InvalidClientTokenId": AuthenticationFailed,
    "UnrecognizedClientException": AuthenticationFailed,
    "SignatureDoesNotMatch": AuthenticationFailed,
    "InvalidSecurity": AuthenticationFailed,
    f"{LEGACY}BatchRequestTooLong": BatchTooLarge,
    f"{LEGACY}TooManyEntriesInBatchRequest": BatchTooLarge,
    f"{LEGACY}EmptyBatchRequest": InvalidFormat,
    f"{LEGACY}BatchEntryIdsNotDistinct": InvalidFormat,
    f"{LEGACY}UnsupportedOperation": UnsupportedOperation,
    "KmsDisabled": ConfigurationError,
    "KmsInvalidKeyUsage": ConfigurationError,
    "KmsInvalidState": ConfigurationError,
    "KmsNotFound": ConfigurationError,
    "KmsOptInRequired": ConfigurationError,
    "InvalidAddress": ConfigurationError,
    "MissingParameter": RequiredField,
}
RECEIPTS = ["ReceiptHandleIsInvalid", "InvalidReceiptHandle", "InvalidIdFormat", f"{LEGACY}MessageNotInflight"]


async def provider_to(server: StrictServer) -> tuple[SqsProvider, QueueName]:
    harness = SqsHarness(server, is_fifo=False)
    provider = await harness.open()
    queue = await harness.make_queue(QueueRules())
    await provider.capabilities(queue)
    return provider, queue


def receipt(provider_id: str = "m1") -> Receipt:
    return Receipt("secret-handle", provider_id, Timestamp(2**60), "aws")


@pytest.mark.parametrize(("code", "kind"), CALLS.items())
async def test_D46_a_call_that_fails_with_a_code_raises_our_error(
    strict: StrictServer, code: str, kind: type[QueueError]
) -> None:
    """A receive that the service refuses says why in our words, and is not repeated by the SDK."""
    provider, queue = await provider_to(strict)
    strict.fail("ReceiveMessage", Fault(code))

    with pytest.raises(kind) as caught:
        await provider.receive(Address(queue), 1, 0)

    assert type(caught.value) is kind
    assert caught.value.transient == (kind is ServiceThrottled)
    assert len(strict.calls("ReceiveMessage")) == 1
    await provider.close()


@pytest.mark.parametrize("code", RECEIPTS)
async def test_D46_a_receipt_that_is_no_good_is_named_by_its_digest(strict: StrictServer, code: str) -> None:
    """Codes about a receipt, in an item of a batch, are InvalidReceipt, which never holds the receipt."""
    provider, queue = await provider_to(strict)
    strict.fail("DeleteMessageBatch", Fault(code, items=frozenset({0}), sender_fault=True))

    (answer,) = await provider.settle(Address(queue), [Settlement(SettleKind.COMPLETE, receipt())])

    assert isinstance(answer, InvalidReceipt)
    assert answer.category is Category.LOCK
    assert "secret-handle" not in str(answer)
    await provider.close()


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("InvalidParameterValue", "Reason: Message must be shorter than 1024 bytes.", MessageTooLarge),
        ("InvalidParameterValue", "Value x for parameter DelaySeconds is invalid.", InvalidFormat),
        ("InvalidMessageContents", "Invalid characters found.", InvalidMessage),
        ("SomethingNew", "never seen", ProviderError),
    ],
)
async def test_D46_a_message_that_is_refused_is_not_sent_again(
    strict: StrictServer, code: str, text: str, kind: type[QueueError]
) -> None:
    """An item that fails by its sender's fault is answered at once; the others of its batch are taken."""
    provider, queue = await provider_to(strict)
    strict.fail("SendMessageBatch", Fault(code, text, items=frozenset({1}), sender_fault=True))

    first, refused, last = await provider.send(queue, [Message(body) for body in (b"1", b"2", b"3")])

    assert isinstance(refused, kind)
    assert not refused.transient
    assert not isinstance(first, QueueError)
    assert not isinstance(last, QueueError)
    assert len(strict.calls("SendMessageBatch")) == 1
    await provider.close()


@pytest.mark.parametrize("status", [500, 503])
async def test_D46_a_fault_of_the_service_may_pass(strict: StrictServer, status: int) -> None:
    """An unknown code with a server's status is transient."""
    provider, queue = await provider_to(strict)
    strict.fail("ReceiveMessage", Fault("SomethingNew", status=status))

    with pytest.raises(ProviderError) as caught:
        await provider.receive(Address(queue), 1, 0)

    assert caught.value.transient
    await provider.close()


async def test_D46_a_legacy_code_counts_where_the_first_says_nothing(strict: StrictServer) -> None:
    """The service puts one error under two codes; either of them is enough."""
    provider, queue = await provider_to(strict)
    headers = {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}
    strict.fail("ReceiveMessage", Fault("ResourceNotFoundException", headers=headers))

    with pytest.raises(QueueNotFound):
        await provider.receive(Address(queue), 1, 0)
    await provider.close()


async def test_D46_a_lost_answer_is_a_connection_that_failed(strict: StrictServer) -> None:
    """Where nobody knows whether a settlement was made, it may be tried again."""
    provider, queue = await provider_to(strict)
    await provider.send(queue, [Message(b"1")])
    (delivery,) = await provider.receive(Address(queue), 1, 1)
    strict.fail("DeleteMessageBatch", Fault(is_lost=True))

    settlement = Settlement(SettleKind.COMPLETE, delivery.receipt)
    (lost,) = await provider.settle(Address(queue), [settlement])

    assert isinstance(lost, ConnectionFailed)
    assert lost.transient
    assert await provider.settle(Address(queue), [settlement]) == [None]
    await provider.close()


async def test_D46_a_service_that_is_not_there_is_a_connection_that_failed() -> None:
    """Nobody listens: the error says so, and may pass."""
    provider = SqsProvider(SqsSettings(region=REGION, endpoint_url="http://127.0.0.1:9"))
    await provider.open()

    with pytest.raises(ConnectionFailed):
        await provider.capabilities(QueueName("orders"))
    await provider.close()


async def test_D46_no_credentials_are_the_operators_to_bring(
    strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the SDK finds no credentials the error says what to set."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    provider = SqsProvider(SqsSettings(region=REGION, endpoint_url=strict.url))
    await provider.open()

    with pytest.raises(AuthenticationFailed, match="credentials"):
        await provider.capabilities(QueueName("orders"))
    await provider.close()


async def test_no_region_is_the_operators_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing names a region, opening says which variable would."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")

    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        await SqsProvider(SqsSettings()).open()


async def test_a_provider_that_was_never_opened_says_so() -> None:
    """The first call of an unopened provider names what was forgotten."""
    with pytest.raises(ProviderClosed):
        await SqsProvider(SqsSettings(region=REGION)).capabilities(QueueName("orders"))


def test_a_time_out_of_the_sdk_is_ours() -> None:
    """No answer in time is a time-out, after which the call may have been carried out."""
    assert isinstance(error_of_exception(About("send", QueueName("orders")), TimeoutError()), OperationTimeout)
