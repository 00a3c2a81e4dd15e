"""Random numbers as a pure function of (key, step, purpose, sample, index): Philox 4x32-10 in tensor operations.

No generator state: what a member draws depends on its own key alone, never on the members beside it, the number of
samples asked for or the device. Algorithm and constants: Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
as easy as 1, 2, 3" (2011), with Box-Muller for normals.

One Philox call turns a counter of four 32-bit words into four random ones, all of which are used. The counter is
(index of the call, step, sample, purpose); number i of a flattened shape is word i mod 4 of call i // 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from ..errors import CallError

Word = Tensor | int
"""A 32-bit unsigned integer, held in int64 when it is a tensor."""

Counter = tuple[Word, Word, Word, Word]
Key = tuple[Word, Word]

WORD_BITS = 32
WORD_MASK = 2**WORD_BITS - 1
WORDS_PER_CALL = 4
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)


def philox_4x32(counter: Counter, key: Key) -> Counter:
    """Four random 32-bit words for every broadcast element of `counter` and `key`.

    A round maps (c0, c1, c2, c3) to (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)); between rounds
    the key grows by its increments. Only the low 32 bits of the arguments count.
    """
    # The masks also keep Inductor from folding `arange · M` into one index expression, which it computes in 32 bits.
    c0, c1, c2, c3 = (word & WORD_MASK for word in counter)
    k0, k1 = (word & WORD_MASK for word in key)
    for round_index in range(ROUNDS):
        if round_index:
            k0 = (k0 + KEY_INCREMENTS[0]) & WORD_MASK
            k1 = (k1 + KEY_INCREMENTS[1]) & WORD_MASK
        high0, low0 = high_and_low_product(c0, MULTIPLIERS[0])
        high1, low1 = high_and_low_product(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
    return c0, c1, c2, c3


def high_and_low_product(word: Word, multiplier: int) -> tuple[Word, Word]:
    """The two halves of the 64-bit product M·x of 32-bit numbers, with M at least 2^31.

    M·x itself can pass 2^63, and signed overflow is undefined in the C++ that Inductor writes. With M' = M − 2^32 the
    product p = M'·x is within ±2^63, and M·x = p + 2^32·x: the low half is that of p, the high half is ⌊p / 2^32⌋ + x.
    """
    product = word * (multiplier - 2**WORD_BITS)
    return (product >> WORD_BITS) + word, product & WORD_MASK


def uniforms(
    keys: Tensor, step: Word, purpose: int, samples: int, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Independent uniforms on the open interval (0, 1), shape (members, samples, *shape).

    `keys` is (members, 2), int64, one `member_key` a row; `step` a 0-d int64 tensor (a plain int is a constant to
    torch.compile, so that every new one compiles anew); `purpose` a `purpose_code`.
    """
    words = random_words(keys, step, purpose, samples, shape)
    return interleave([unit_interval(word, dtype) for word in words], shape)


def normals(
    keys: Tensor, step: Word, purpose: int, samples: int, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Independent standard normals, shape (members, samples, *shape); arguments as in `uniforms`.

    Box-Muller: from two uniforms, √(−2 log u) · (cos 2πv, sin 2πv).
    """
    first, second, third, fourth = random_words(keys, step, purpose, samples, shape)
    return interleave([*box_muller(first, second, dtype), *box_muller(third, fourth, dtype)], shape)


def random_words(keys: Tensor, step: Word, purpose: int, samples: int, shape: Sequence[int]) -> Counter:
    """The words of every call that `shape` needs, each of shape (members, samples, calls)."""
    calls = -(-math.prod(shape) // WORDS_PER_CALL)
    call = torch.arange(calls, device=keys.device)
    sample = torch.arange(samples, device=keys.device).unsqueeze(-1)
    key0, key1 = keys[:, 0, None, None], keys[:, 1, None, None]
    return philox_4x32((call, step, sample, purpose), (key0, key1))


def unit_interval(word: Word, dtype: torch.dtype) -> Tensor:
    """(x + ½) · 2^−32, kept off 1, to which float32 rounds the largest words."""
    if dtype not in (torch.float32, torch.float64):
        raise CallError(f"noise was asked for in {dtype}; draw it in torch.float32 or torch.float64 and convert it")
    below_one = 1 - torch.finfo(dtype).eps / 2
    return ((torch.as_tensor(word).to(dtype) + 0.5) * 2.0**-WORD_BITS).clamp(max=below_one)


def box_muller(radius_word: Word, angle_word: Word, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two independent standard normals from two words."""
    radius = (-2 * unit_interval(radius_word, dtype).log()).sqrt()
    angle = 2 * math.pi * unit_interval(angle_word, dtype)
    return radius * angle.cos(), radius * angle.sin()


def interleave(numbers: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """From one tensor (members, samples, calls) a word to (members, samples, *shape), dropping the surplus."""
    flat = torch.stack(tuple(numbers), dim=-1).flatten(-2)[..., : math.prod(shape)]
    return flat.reshape(*flat.shape[:2], *shape)


def member_key(text: str) -> tuple[int, int]:
    """The Philox key of a noise key: the first eight bytes of its BLAKE2b digest as two words."""
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def purpose_code(text: str) -> int:
    """The counter word of a purpose such as "weights" or "structure"."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "little")
