"""The table from what the service and its SDK say to our errors. Nothing else in this folder reads an error code.

The service says one thing under several codes: the legacy ones of its query protocol, which it still puts on the wire,
those of the JSON protocol, and those of the signature layer that all of AWS shares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as SdkConnectionError

from queue_runtime.providers.errors import (
    AuthenticationFailed,
    AuthorizationFailed,
    BatchTooLarge,
    ConfigurationError,
    ConnectionFailed,
    ErrorContext,
    InvalidFormat,
    InvalidMessage,
    InvalidReceipt,
    MessageTooLarge,
    OperationTimeout,
    ProviderError,
    QueueError,
    QueueNotFound,
    RequiredField,
    ServiceThrottled,
    UnsupportedOperation,
)
from queue_runtime.providers.message import Message, QueueName, Receipt
from queue_runtime.providers.sqs.settings import MAX_BATCH, MAX_BATCH_BYTES, PROVIDER

__all__ = ["About", "error_of_code", "error_of_exception", "says_expired"]

THROTTLED_S = 5.0  # the service names no wait; its own SDK starts below a second
SERVER_FAULT = 500


@dataclass(frozen=True, slots=True)
class About:
    """What a call, or one item of it, was about."""

    operation: str
    queue: QueueName | None
    receipt: Receipt | None = None
    message: Message | None = None

    @property
    def context(self) -> ErrorContext:
        """The same, for an error."""
        message_id = None if self.message is None else str(self.message.message_id)
        queue = None if self.queue is None else str(self.queue)
        return ErrorContext(queue=queue, message_id=message_id, operation=self.operation)


def _not_found(about: About, text: str) -> QueueError:
    del text
    return QueueNotFound(str(about.queue), operation=about.operation)


def _receipt(about: About, text: str) -> QueueError:
    receipt = about.receipt
    if receipt is None:  # a call that brings none cannot have a wrong one
        return ProviderError(PROVIDER, "InvalidReceipt", text, is_transient=False, context=about.context)
    return InvalidReceipt(receipt.provider_id, receipt.digest, context=about.context)


def _throttled(about: About, text: str) -> QueueError:
    del text
    return ServiceThrottled(THROTTLED_S, context=about.context)


def _unauthorised(about: About, text: str) -> QueueError:
    del text
    return AuthorizationFailed(f"{about.operation} on queue {str(about.queue)!r}", context=about.context)


def _unauthenticated(about: About, text: str) -> QueueError:
    del text
    what = "the service does not accept these credentials: renew them, and look at the clock of this host"
    return AuthenticationFailed(what, context=about.context)


def _too_large_a_batch(about: About, text: str) -> QueueError:
    del text
    return BatchTooLarge(MAX_BATCH_BYTES + 1, MAX_BATCH_BYTES, context=about.context)


def _too_many(about: About, text: str) -> QueueError:
    del text
    return BatchTooLarge(MAX_BATCH + 1, MAX_BATCH, context=about.context)


def _batch_format(about: About, text: str) -> QueueError:
    return InvalidFormat("batch", f"is not what the service takes: {text}", context=about.context)


def _contents(about: About, text: str) -> QueueError:
    del text
    return InvalidMessage("the service does not take characters of this message as text", context=about.context)


def _missing(about: About, text: str) -> QueueError:
    del about
    return RequiredField(_parameter(text), f"is missing: {text}")


def _unsupported(about: About, text: str) -> QueueError:
    return UnsupportedOperation(about.operation, text, context=about.context)


def _configuration(about: About, text: str) -> QueueError:
    return ConfigurationError(
        f"queue {str(about.queue)!r} cannot be used as it is set up: {text}", context=about.context
    )


def _parameter_value(about: About, text: str) -> QueueError:
    """The code of many troubles: only the text says which."""
    lower = text.lower()
    if "expired" in lower or "does not exist or is not available" in lower or "total visibilitytimeout" in lower:
        return _receipt(about, text)
    if "must be shorter" in lower:
        size = about.message.size_bytes if about.message is not None else MAX_BATCH_BYTES + 1
        found = re.search(r"shorter than (\d+)", lower)
        return MessageTooLarge(size, int(found[1]) if found else MAX_BATCH_BYTES, context=about.context)
    return InvalidFormat(_parameter(text), f"is not what the service takes: {text}", context=about.context)


def _parameter(text: str) -> str:
    found = re.search(r"parameter:? (\w+)", text)
    return found[1] if found else "parameter"


_BY_CODE: Mapping[str, Callable[[About, str], QueueError]] = {
    **dict.fromkeys(("NonExistentQueue", "QueueDoesNotExist", "QueueDeletedRecently"), _not_found),
    **dict.fromkeys(
        ("ReceiptHandleIsInvalid", "InvalidReceiptHandle", "InvalidIdFormat", "MessageNotInflight"), _receipt
    ),
    **dict.fromkeys(
        ("RequestThrottled", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException"),
        _throttled,
    ),
    **dict.fromkeys(("OverLimit", "KmsThrottled", "KMS.ThrottlingException"), _throttled),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "KmsAccessDenied", "KMS.AccessDeniedException"), _unauthorised
    ),
    **dict.fromkeys(
        (
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidSecurity",
        ),
        _unauthenticated,
    ),
    "BatchRequestTooLong": _too_large_a_batch,
    "TooManyEntriesInBatchRequest": _too_many,
    **dict.fromkeys(("EmptyBatchRequest", "BatchEntryIdsNotDistinct", "InvalidBatchEntryId"), _batch_format),
    "InvalidMessageContents": _contents,
    "InvalidParameterValue": _parameter_value,
    "InvalidAttributeValue": _parameter_value,
    "MissingParameter": _missing,
    **dict.fromkeys(("UnsupportedOperation", "UnsupportedOperationException"), _unsupported),
    **dict.fromkeys(
        ("KmsDisabled", "KmsInvalidKeyUsage", "KmsInvalidState", "KmsNotFound", "KmsOptInRequired"), _configuration
    ),
    **dict.fromkeys(
        ("KMS.DisabledException", "KMS.InvalidStateException", "KMS.NotFoundException", "KMS.OptInRequired"),
        _configuration,
    ),
    **dict.fromkeys(("InvalidAddress", "InvalidAttributeName"), _configuration),
}
_TRANSIENT = frozenset(
    {"InternalError", "InternalFailure", "ServiceUnavailable", "RequestTimeout", "PriorRequestNotComplete"}
)
_PREFIXES = ("AWS.SimpleQueueService.", "com.amazonaws.sqs#", "com.amazon.coral.service#")


def error_of_code(about: About, code: str, text: str, *, is_server_fault: bool = False) -> QueueError:
    """Return our error for a code of the service; an unknown one may pass if the fault is the server's."""
    for prefix in _PREFIXES:
        code = code.removeprefix(prefix)
    known = _BY_CODE.get(code)
    if known is not None:
        return known(about, text)
    is_transient = is_server_fault or code in _TRANSIENT
    return ProviderError(PROVIDER, code, text or "no text", is_transient=is_transient, context=about.context)


def error_of_exception(about: About, error: Exception) -> QueueError:
    """Return our error for what the SDK raised; what it is not known to raise is taken for one that may pass."""
    match error:
        case ClientError():
            return _error_of_answer(about, error)
        case NoCredentialsError() | PartialCredentialsError() | CredentialRetrievalError() | ProfileNotFound():
            what = "the SDK finds no credentials: set its environment, a profile, or a role"
            return AuthenticationFailed(what, context=about.context)
        case NoRegionError():
            return ConfigurationError(
                "no region is set: set AWS_REGION, or the region of the profile", context=about.context
            )
        case ReadTimeoutError() | TimeoutError():
            return OperationTimeout(about.operation, 0.0, context=about.context)
        case SdkConnectionError() | HTTPClientError() | OSError():
            what = f"the service cannot be reached ({type(error).__name__}): the call may have been carried out"
            return ConnectionFailed(what, context=about.context)
        case BotoCoreError():
            return ProviderError(
                PROVIDER, type(error).__name__, "the SDK refuses", is_transient=False, context=about.context
            )
        case _:
            return ProviderError(
                PROVIDER, type(error).__name__, "the SDK failed", is_transient=True, context=about.context
            )


_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})


def says_expired(error: Exception) -> bool:
    """Say whether the service refused credentials that were good and are over: others may be there by now."""
    if not isinstance(error, ClientError):
        return False
    said = cast("Mapping[str, Mapping[str, object]]", error.response).get("Error", {})
    return not _EXPIRED.isdisjoint({str(said.get("Code")), str(said.get("QueryErrorCode"))})


def _error_of_answer(about: About, error: ClientError) -> QueueError:
    answer = cast("Mapping[str, Mapping[str, object]]", error.response)
    said = answer.get("Error", {})
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    is_server_fault = isinstance(status, int) and status >= SERVER_FAULT
    text = str(said.get("Message", ""))
    code, legacy = str(said.get("Code", "")), str(said.get("QueryErrorCode", ""))
    mapped = error_of_code(about, code, text, is_server_fault=is_server_fault)
    if type(mapped) is ProviderError and legacy:
        return error_of_code(about, legacy, text, is_server_fault=is_server_fault)
    return mapped
