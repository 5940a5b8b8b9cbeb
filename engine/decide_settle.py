"""What became of the sends and settlements that an outcome asked for. Pure, as `decide` is.

Every function is one row of `decide`: the message as it is known, and what the shell saw of it.
"""

from __future__ import annotations

from queue_runtime.engine.inputs import SendConfirmed, SendFailed, SettleConfirmed, SettleDenied
from queue_runtime.engine.policy import Policy
from queue_runtime.journal.events import Disposition, Event, OutgoingFailed, OutgoingSent, Settled, SettleRefused
from queue_runtime.journal.state import Lease, MessageState, Phase

__all__ = ["send_confirmed", "send_failed", "settle_confirmed", "settle_denied"]


def send_confirmed(message: MessageState, given: SendConfirmed, policy: Policy) -> tuple[Event, ...]:
    """A broker took the outgoing message that was next."""
    del policy
    if message.phase is not Phase.SENDING or given.index != message.sent:
        return ()
    return (OutgoingSent(message.key, given.now, given.index, given.provider_id),)


def send_failed(message: MessageState, given: SendFailed, policy: Policy) -> tuple[Event, ...]:
    """The outgoing message that was next can never be sent. A transient failure decides nothing: it stays owed."""
    del policy
    if message.phase is not Phase.SENDING or given.index != message.sent or given.transient:
        return ()
    return (OutgoingFailed(message.key, given.now, given.index, given.error_kind, given.error_text),)


def settle_confirmed(message: MessageState, given: SettleConfirmed, policy: Policy) -> tuple[Event, ...]:
    """The broker settled a copy; that is true whenever it is heard, also after a refusal of an older receipt."""
    del policy
    copy = message.copy(given.provider_id)
    if copy is None or copy.lease is Lease.SETTLED:
        return ()
    if given.disposition is Disposition.ABANDON:
        is_expected = copy.lease is Lease.RELEASING
    else:
        is_expected = message.phase is Phase.SETTLING or message.phase is Phase.UNSETTLED
    return (Settled(message.key, given.now, given.provider_id, given.disposition),) if is_expected else ()


def settle_denied(message: MessageState, given: SettleDenied, policy: Policy) -> tuple[Event, ...]:
    """The broker would not settle a copy, or nobody knows whether it did: it is asked again when it redelivers."""
    del policy
    copy = message.copy(given.provider_id)
    if copy is None:
        return ()
    if given.disposition is Disposition.ABANDON:
        is_expected = copy.lease is Lease.RELEASING
    else:
        is_expected = message.phase is Phase.SETTLING and copy in message.to_settle
    return (
        (SettleRefused(message.key, given.now, given.provider_id, given.disposition, given.why),) if is_expected else ()
    )
