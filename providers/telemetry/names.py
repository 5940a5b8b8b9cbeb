"""Every name that telemetry uses, and the version of OpenTelemetry's semantic conventions that they are from.

What the conventions name is named so; what they do not know begins with `queue_runtime.`. Units are UCUM's.
"""

from __future__ import annotations

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The conventions' version; their messaging part is marked as in development there."""

SCOPE = "queue_runtime"
"""The name of our tracer and our meter."""

# --- attributes of spans and metrics ---

SYSTEM = "messaging.system"
DESTINATION = "messaging.destination.name"
OPERATION = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
ERROR_TYPE = "error.type"

# --- attributes of spans alone: they name single messages ---

MESSAGE_ID = "messaging.message.id"
CONVERSATION_ID = "messaging.message.conversation_id"
BODY_BYTES = "messaging.message.body.size"
BATCH_COUNT = "messaging.batch.message_count"
SESSION_ID = "queue_runtime.session.id"
DELIVERY_COUNT = "queue_runtime.message.delivery_count"
KEY = "queue_runtime.message.key"
ATTEMPT = "queue_runtime.attempt"
POSITION = "queue_runtime.journal.position"
RUN_ID = "queue_runtime.run.id"
DISPOSITIONS = "queue_runtime.settle.dispositions"

# --- attributes with few values ---

ROUTE = "queue_runtime.route"
OUTCOME = "queue_runtime.outcome"
REASON = "queue_runtime.reason"
BREAKER = "queue_runtime.breaker"
ENGINE = "queue_runtime.engine.queues"

# --- metrics of the conventions ---

OPERATION_DURATION = "messaging.client.operation.duration"
SENT = "messaging.client.sent.messages"
CONSUMED = "messaging.client.consumed.messages"
PROCESS_DURATION = "messaging.process.duration"

# --- metrics of our own ---

COMPLETED = "queue_runtime.messages.completed"
DEAD_LETTERED = "queue_runtime.messages.dead_lettered"
DUPLICATES = "queue_runtime.messages.duplicates"
LOCKS_LOST = "queue_runtime.locks.lost"
RETRIES = "queue_runtime.retries"
RETRY_DELAY = "queue_runtime.retry.delay"
COMMIT_DURATION = "queue_runtime.journal.commit.duration"
COMMIT_EVENTS = "queue_runtime.journal.commit.events"
EVENTS = "queue_runtime.journal.events"
UNWRITABLE = "queue_runtime.journal.unwritable"
RECOVERY_DURATION = "queue_runtime.recovery.duration"
RECOVERED = "queue_runtime.recovery.messages"
IN_FLIGHT = "queue_runtime.messages.in_flight"
IN_FLIGHT_BYTES = "queue_runtime.messages.in_flight.size"
RUNNING = "queue_runtime.attempts.running"
OLDEST_UNSETTLED = "queue_runtime.messages.oldest_unsettled.age"
SESSIONS = "queue_runtime.sessions.active"
PARKED = "queue_runtime.sessions.parked"
BREAKER_STATE = "queue_runtime.breaker.state"
LOOP_LAG = "queue_runtime.loop.lag"

SYSTEMS = {"aws": "aws_sqs", "azure": "servicebus", "memory": "in_memory"}
"""Our providers, by the conventions' names; they have none for a broker in memory. Others go by their own."""

# --- bounds of buckets ---

OPERATION_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30)
PROCESS_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1_800)
COMMIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
EVENT_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
DELAY_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900)
