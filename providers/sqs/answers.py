"""How the service's answers are read: their JSON as it is, where the SDK would copy it value by value.

A receive brings up to a mebibyte of JSON, whose every value is text already; the SDK's own reading of it costs a third
of a call. Errors are read by the SDK.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The SDK has no types.

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

from aiobotocore.parsers import AioResponseParserFactory
from pydantic_core import from_json

__all__ = ["AnswerParser", "AnswerParserFactory"]

PROTOCOL = "json"
OK = 200


class AnswerParser(Protocol):
    """What the SDK expects of a parser."""

    async def parse(self, response: Mapping[str, object], shape: object) -> dict[str, object]:
        """Read an answer.

        Raises:
            ValueError: its body is no JSON, so it comes from something else than the service.
        """
        ...


class AnswerParserFactory:
    """The SDK's component `response_parser_factory`. Binary attributes stay in base64, as they come."""

    def __init__(self) -> None:
        self._sdk = AioResponseParserFactory()

    def create_parser(self, protocol_name: str) -> AnswerParser:
        """Return what reads the answers of a protocol."""
        parser = cast("AnswerParser", self._sdk.create_parser(protocol_name))
        return _AnswerParser(parser) if protocol_name == PROTOCOL else parser


class _AnswerParser:
    def __init__(self, sdk: AnswerParser) -> None:
        self._sdk = sdk

    async def parse(self, response: Mapping[str, object], shape: object) -> dict[str, object]:
        body = response["body"]
        if response["status_code"] != OK or not isinstance(body, bytes):
            return await self._sdk.parse(response, shape)
        answer = cast("dict[str, object]", from_json(body))
        answer["ResponseMetadata"] = {"HTTPStatusCode": OK, "HTTPHeaders": response["headers"]}
        return answer
