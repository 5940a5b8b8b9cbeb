"""The part of the provider's settings that is about encryption. What they mean is for whoever encrypts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

__all__ = ["EncryptionFields"]

_NO_KEYS = "needs keys: set encryption_keys or encryption_key_file"


class EncryptionFields(BaseModel):
    """Settings that `ProviderSettings` has beside its own."""

    encryption_keys: SecretStr | None = Field(
        default=None, description="Keys as `id:base64`, comma-separated; the last one encrypts. A secret."
    )
    encryption_key_file: Path | None = Field(
        default=None, description="JSON file of keys; replaced to rotate them. Not with `encryption_keys`."
    )
    encryption_key_ttl_s: float = Field(
        default=300.0,
        gt=0,
        allow_inf_nan=False,
        description="How long a key that was read from the file is used before it is read again.",
    )
    encryption_enabled: bool = Field(
        default=False, description="Encrypt the bodies that are sent; needs keys. See [Encryption](encryption.md)."
    )
    encryption_plain: Literal["allow", "allow-with-alert", "reject"] = Field(
        default="allow", description="What becomes of a plain body that arrives, once there are keys."
    )
    encryption_max_age_s: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Longest time from a body's encryption to the broker's taking it; none is any.",
    )
    encryption_skew_s: float = Field(
        default=60.0, ge=0, allow_inf_nan=False, description="How far the clocks of senders and receivers may be apart."
    )
    encryption_track_nonces: bool = Field(default=False, description="Refuse a nonce that two messages have.")
    encryption_nonce_ttl_s: float = Field(
        default=600.0,
        gt=0,
        allow_inf_nan=False,
        description="How long nonces are remembered; not less than `encryption_max_age_s` while they are tracked.",
    )

    @field_validator("encryption_key_file")
    @classmethod
    def _is_the_only_place(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("encryption_keys") is not None:
            msg = "is set beside encryption_keys: keep the keys in one place"
            raise ValueError(msg)
        return value

    @field_validator("encryption_enabled")
    @classmethod
    def _has_keys(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if value and not _has_keys(info):
            raise ValueError(_NO_KEYS)
        return value

    @field_validator("encryption_plain")
    @classmethod
    def _can_tell(cls, value: str, info: ValidationInfo) -> str:
        if value != "allow" and not _has_keys(info):
            raise ValueError(_NO_KEYS)
        return value

    @field_validator("encryption_nonce_ttl_s")
    @classmethod
    def _outlasts_the_age(cls, value: float, info: ValidationInfo) -> float:
        max_age_s: float | None = info.data.get("encryption_max_age_s")
        if info.data.get("encryption_track_nonces") and max_age_s is not None and value < max_age_s:
            msg = f"is below encryption_max_age_s, which is {max_age_s:g}: a nonce could come again unseen"
            raise ValueError(msg)
        return value

    @property
    def has_encryption(self) -> bool:
        """True if there are keys: bodies that come encrypted can be opened."""
        return self.encryption_keys is not None or self.encryption_key_file is not None


def _has_keys(info: ValidationInfo) -> bool:
    """Keys that are set and cannot be right are told by their own name."""
    names = ("encryption_keys", "encryption_key_file")
    return any(info.data.get(name) is not None or name not in info.data for name in names)
