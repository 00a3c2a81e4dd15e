"""Bytes that tensors take while a computation runs, counted operation by operation."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Operation = Callable[..., object]


class LiveMemory(TorchDispatchMode):
    """Counts the storages that are made inside it until they are freed; `peak` is the most bytes alive at a time.

    A count, not a measurement: the same on every machine and at every call, whatever the allocator rounds up or keeps.
    What an operation takes and gives back within itself isn't seen, so programs have to be uncompiled. Storages that
    were there before don't count, nor do those that are made while it is `paused`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}
        self._is_paused = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is made meanwhile doesn't count, now or later."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def __torch_dispatch__(
        self, func: Operation, types: object, args: tuple[object, ...] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        """Run an operation and count the storages that it made."""
        result = func(*args, **(kwargs or {}))
        if not self._is_paused:
            made = [each for each in tensors_in((result,)) if storage_of(each) not in self._sizes]
            if made:
                given = {storage_of(each) for each in tensors_in((*args, *(kwargs or {}).values()))}
                for each in made:
                    if storage_of(each) not in given:
                        self._count(each)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage, place = tensor.untyped_storage(), storage_of(tensor)
        if place in self._sizes:
            return
        self._sizes[place] = storage.nbytes()
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, place)

    def _release(self, place: int) -> None:
        self.live -= self._sizes.pop(place)


def tensors_in(values: Iterable[object]) -> Iterator[Tensor]:
    """The tensors among arguments or results of an operation, also those in its lists and tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)


def storage_of(tensor: Tensor) -> int:
    """What tells the storage of a tensor from all others that are alive: a view has that of its base."""
    place: int = tensor.untyped_storage()._cdata
    return place
