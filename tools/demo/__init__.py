"""The main job on an in-memory broker, and a check that every event is accounted for."""

from queue_runtime.tools.demo.events import DemoEvent, generated, recorded
from queue_runtime.tools.demo.report import Report, report_on

__all__ = ["DemoEvent", "Report", "generated", "recorded", "report_on"]
