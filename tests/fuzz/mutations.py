"""Hostile variants of valid content: bytes changed anywhere, and JSON changed where it still is JSON."""

import copy
import json
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

INTEGERS = (0, 1, -1, 127, 255, 2**15, 2**31 - 1, -(2**31), 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**64, 10**30)
VALUES: tuple[Any, ...] = (
    *INTEGERS,
    *(None, True, False, 0.5, -0.0, 1e308, -1e-320, float("nan"), float("inf"), [], {}, [[]], [{}], {"": None}),
    *("", " ", "\x00", "é" * 300, "x" * 10_000, "../../escaped", "/etc/passwd", "a/../../b", "s3://bucket/key"),
    *("<script>alert(1)</script>", "'; DROP TABLE trials; --", "nan", "1e999", "dnn", "os.system", "%s%n", "\ud800"),
)
"""What stands in the place of a value: other types, edges of ranges, and texts that something downstream may act on."""


def bytes_variant(random: Random, seeds: Sequence[bytes]) -> bytes:
    """A seed with one to eight changes."""
    content = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 8)):
        random.choice(_CHANGES)(random, content, seeds)
    return bytes(content)


def json_variant(random: Random, seeds: Sequence[bytes]) -> bytes:
    """A seed's JSON with one to three places replaced, removed, repeated or added to."""
    plain = json.loads(random.choice(seeds))
    for _ in range(random.randint(1, 3)):
        plain = _changed(random, plain)
    return json.dumps(plain).encode("utf-8", "surrogatepass")


def _changed(random: Random, plain: Any) -> Any:
    places = list(_places(plain))
    if not places:
        return random.choice(VALUES)
    holder, key = random.choice(places)
    action = random.random()
    if action < 0.6:
        holder[key] = random.choice(VALUES)
    elif action < 0.8:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, copy.deepcopy(random.choice(holder)))
    else:
        holder[str(random.choice(VALUES))] = holder[key]
    return plain


def _places(plain: Any) -> Any:
    """Every (container, key), at any depth."""
    keys = plain.keys() if isinstance(plain, dict) else range(len(plain)) if isinstance(plain, list) else ()
    for key in keys:
        yield plain, key
        yield from _places(plain[key])


def _flip(random: Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def _overwrite(random: Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    """An integer at a place where formats have lengths and offsets."""
    form = random.choice(("<i", "<q", ">i", "<h"))
    size = struct.calcsize(form)
    if len(content) >= size:
        place = random.randrange(len(content) - size + 1) // size * size
        edge = 1 << (8 * size - 1)
        content[place : place + size] = struct.pack(form, (random.choice(INTEGERS) + edge) % (2 * edge) - edge)


def _remove(random: Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    start = random.randrange(len(content) + 1)
    del content[start : start + random.choice((1, 2, 8, 64, 1000))]


def _insert(random: Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    start = random.randrange(len(content) + 1)
    content[start:start] = random.randbytes(random.choice((1, 2, 8, 64)))


def _repeat(random: Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    start = random.randrange(len(content) + 1)
    content[start:start] = content[start : start + random.choice((1, 8, 64, 500))]


def _cut(random: Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    del content[random.randrange(len(content) + 1) :]


def _splice(random: Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    other = random.choice(seeds)
    start = random.randrange(min(len(content), len(other)) + 1)
    content[start:] = other[start:]


_CHANGES = (_flip, _flip, _overwrite, _overwrite, _remove, _insert, _repeat, _cut, _splice)
