"""Errors of torch about code that can't be computed for all members at once, in plain words with a remedy."""

from __future__ import annotations

import re

KNOWN = (
    (
        r"data-dependent control flow|value out of a tracing tensor",
        "branches on the value of a tensor, which is impossible for members that are computed together",
        "use torch.where(condition, a, b), and branch on shapes and options only",
    ),
    (
        r"called random operation",
        "draws random numbers of its own",
        "compute from the arguments alone, so that a run can be repeated: leave out dropout and torch.rand*",
    ),
    (
        r"calling \.item\(\)",
        "takes the value of a tensor out of torch (.item(), float(), int())",
        "compute with the tensor itself, and use torch.where in place of a branch",
    ),
    (
        r"Cannot access data pointer|Can't call numpy\(\)",
        "takes the values of a tensor out of torch (.numpy(), .tolist())",
        "use torch's operations on the tensors that are given",
    ),
    (
        r"inplace arithmetic|doesn't match the broadcast shape|leaf Variable that requires grad",
        "writes into a tensor in place",
        "make new tensors: x + 1 in place of x.add_(1), torch.stack or torch.where in place of y[0] = …",
    ),
    (
        r"dynamic shape",
        "makes a tensor whose shape depends on values (a Boolean mask, nonzero, unique)",
        "use torch.where, or multiply by the mask",
    ),
    (
        r"must only return Tensors, got type <class '(?P<got>[^']+)'>",
        "returned {got}",
        "return one tensor",
    ),
    (
        r"(have|be|with) the same dtype|expected scalar type|dtypes? match|must have same dtype|to be of type",
        "mixes numbers of different dtypes",
        "make constants in the dtype of the arguments: x.new_tensor(…), torch.zeros_like(x), or plain Python numbers",
    ),
    (
        r"on the same device|is on (cpu|cuda|meta)",
        "mixes tensors of different devices",
        "make tensors where the arguments are: x.new_tensor(…), torch.arange(…, device=x.device)",
    ),
    (
        r"vmap over (?P<got>\S+) isn't supported",
        "uses {got}, which can't be computed for several members together",
        "use other operations; nearly all torch operations that return tensors work",
    ),
)
"""Patterns of messages, what the code does, and what to do about it."""


def in_words(error: BaseException) -> str | None:
    """What code does that raised this error of torch, and the remedy; None for any other error."""
    if not isinstance(error, RuntimeError | ValueError | TypeError):
        return None
    text = str(error)
    for pattern, does, remedy in KNOWN:
        found = re.search(pattern, text)
        if found is not None:
            return f"{does.format(**found.groupdict())} ({remedy})"
    return None
