"""The space of structures that an estimator searches unless it is given another."""

from __future__ import annotations

from collections.abc import Sequence

ACTIVATIONS = ("tanh", "relu")
WIDTHS = (5, 20)


def one_hidden_layer(activations: Sequence[str], widths: Sequence[int]) -> dict[str, object]:
    """Nodes and edges of a network with one hidden layer: one of the activations × one of the widths."""
    return {
        "nodes": {"x": {}, "h": {"shape": {"choose": [[int(width)] for width in widths]}}, "y": {}},
        "edges": [
            {
                "from": "x",
                "to": "h",
                "choose": "one",
                "basis": [{"type": "dense", "activation": str(activation)} for activation in activations],
            },
            {"from": "h", "to": "y", "basis": [{"type": "linear"}]},
        ],
    }
