"""The option `--kind`: a kind of plugin by its singular name, or by that of its hook."""

from __future__ import annotations

import click

ALL = "all"


def singular(kind: str) -> str:
    """The name of one plugin of a kind: `basis_function` for `basis_functions`."""
    from ....plugins import noun_of

    return noun_of(kind).replace(" ", "_")


def one_kind(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The hook of the kind that was given, if any; raises `CallError` naming the kinds."""
    return None if value is None else hook_of(value)


def several_kinds(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """The hooks of the kinds that were given, `all` for every one; raises `CallError` naming the kinds."""
    from ....errors import CallError
    from ....plugins import KINDS

    if not values:
        raise CallError(f"--kind is missing; expected one of {', '.join(map(singular, KINDS))} or {ALL}")
    hooks = [hook_of(value, ALL) for value in values if value != ALL]
    return list(KINDS) if ALL in values else hooks


def hook_of(value: str, *more: str) -> str:
    """The hook of a kind; `more` are words that a message lists beside the kinds."""
    from ....errors import CallError
    from ....plugins import KINDS

    hook = {singular(kind): kind for kind in KINDS}.get(value, value)
    if hook not in KINDS:
        expected = ", ".join([*map(singular, KINDS), *more])
        raise CallError(f"{value!r} is no kind of plugin; expected one of {expected}")
    return hook
