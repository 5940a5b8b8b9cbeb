"""The SDK of the process, empty of what earlier tests recorded."""

import pytest

from tests.telemetry.recorded import Recorded, recorded


@pytest.fixture
def sdk() -> Recorded:
    """Spans of this test alone; metrics of the whole process."""
    found = recorded()
    found.exporter.clear()
    return found
