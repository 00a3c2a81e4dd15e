"""Python functions of tensors as flat programs of tensor operations, compiled where that pays.

A function is traced once with `make_fx`: the layout, the plugins' Python and the transforms of torch.func (vmap, grad)
run only then, and what remains is a list of operations. Interpreting that list is already faster than running the
Python again each step; `torch.compile` makes it native code, with no Python objects left to guard.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from typing import TypeVar, TypeVarTuple, cast

import torch
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_map

from .compiler_cache import compiler_cache

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

Configuration = tuple[object, ...]
"""Static values that a program depends on; those are the same that are written the same."""

MOST_PROGRAMS = 256
"""Programs kept at most; beyond that all are dropped, and traced again when they are needed."""

_programs: dict[str, Callable[..., object]] = {}
"""Programs of this process by their keys."""


def program_key(configuration: Configuration, arguments: tuple[object, ...], compiled: bool) -> str:
    """All that a program depends on: static configuration, the tree of its arguments, and what each tensor is like."""
    tensors, tree = tree_flatten(arguments)
    return repr((configuration, compiled, tree, [(each.shape, each.dtype, each.device) for each in tensors]))


def program_for(
    configuration: Configuration,
    function: Callable[[*Arguments], Result],
    example: tuple[*Arguments],
    compiled: bool,
) -> Callable[[*Arguments], Result]:
    """The program of a function for arguments like the `example`, traced with copies of them the first time.

    `function` takes and returns trees of tensors (tuples, named ones too, lists and dictionaries), and must do the same
    operations for all arguments of one key. It may change its arguments in place: tracing runs it, hence the copies.
    """
    key = program_key(configuration, example, compiled)
    if key not in _programs and len(_programs) >= MOST_PROGRAMS:
        _programs.clear()
    if key not in _programs:
        traced: Callable[..., object] = without_unused(make_fx(function)(*tree_map(torch.clone, example)))
        if compiled:
            prepare_compiler()
            traced = torch.compile(traced, dynamic=False, fullgraph=True)
        _programs[key] = traced
    return cast("Callable[[*Arguments], Result]", _programs[key])


def without_unused(traced: GraphModule) -> GraphModule:
    """The program without operations that nothing depends on but the shape of what they give.

    A derivative starts from ones of the shape of a value, for which a traced program computes that value. The mixed
    derivative ∇²_{θh} L, which doesn't depend on the likelihood, would compute it for that alone.
    """
    aten = torch.ops.aten
    filled = {aten.ones_like.default: 1, aten.zeros_like.default: 0}
    for node in traced.graph.nodes:
        if node.target not in filled:
            continue
        value = node.meta["val"]
        options = {"dtype": value.dtype, "device": value.device}
        with traced.graph.inserting_before(node):
            constant = traced.graph.call_function(aten.full.default, (list(value.shape), filled[node.target]), options)
        constant.meta = node.meta
        node.replace_all_uses_with(constant)
    traced.graph.eliminate_dead_code(changes_something)
    traced.recompile()
    for node in traced.graph.nodes:  # what tracing noted of every value is tens of thousands of objects a program
        node.meta.clear()
    return traced


def changes_something(node: Node) -> bool:
    """Whether an operation does more than give a value, such as one that works in place."""
    return node.is_impure() or (isinstance(node.target, OpOverload) and node.target._schema.is_mutable)


@cache
def prepare_compiler() -> None:
    """Point the compiler's cache at `compiler_cache`, unless the environment names another."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiler_cache()))
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 1024)
    torch._dynamo.config.accumulated_recompile_limit = max(torch._dynamo.config.accumulated_recompile_limit, 4096)


@cache
def can_compile(device_type: str) -> bool:
    """Whether native code can be made for a device: the CPU needs a C++ compiler."""
    if device_type != "cpu":
        return True
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++", "c++"))
