"""Amazon SQS, standard and FIFO queues. Importing this needs the extra `aws`: `pip install queue-runtime[aws]`."""

from queue_runtime.providers.sqs.factory import from_settings
from queue_runtime.providers.sqs.provider import SqsProvider
from queue_runtime.providers.sqs.settings import SqsSettings

__all__ = ["SqsProvider", "SqsSettings", "from_settings"]
