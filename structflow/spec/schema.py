"""The JSON schema of the spec language with the installed plugins, for editors."""

from __future__ import annotations

from pydantic import JsonValue

from .models import Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_ID = "urn:structflow:spec:1"


def json_schema() -> dict[str, JsonValue]:
    """The schema: what it accepts, the loader accepts, up to what JSON Schema can't say.

    That is: the ranges of metaparameters, the rules of schedules, what the graph and the data must agree on.
    """
    schema = Spec.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **schema, "title": "structflow spec, version 1"}
