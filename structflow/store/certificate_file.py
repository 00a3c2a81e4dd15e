"""Where a run keeps the certificate of its hypergradients, if it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from ..errors import StorageError
from .names import CERTIFICATE
from .run_directory import RunDirectory


def write_certificate(directory: RunDirectory, certificate: Mapping[str, Any]) -> None:
    """Put a certificate into a run, in place of an earlier one."""
    directory.write_sealed(CERTIFICATE, dict(certificate))


def read_certificate(directory: RunDirectory) -> dict[str, JsonValue] | None:
    """The certificate of a run; None where it has none, `StorageError` where it isn't what was written."""
    if not directory.has(CERTIFICATE):
        return None
    try:
        return directory.read_sealed(CERTIFICATE)
    except StorageError as error:
        raise StorageError(
            f"{error}; remove it, or make it again with: structflow certify SPEC --store {directory.path}"
        ) from error
