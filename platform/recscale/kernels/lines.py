"""Tab-separated lines to codes: every cell becomes the number of its value in the order in which its column met them.

Legend: T bytes of text, S cells of a piece of it, R rows, V distinct values of a column, H places of a hash table.
"""

import numpy as np
from numba import njit

Array = np.ndarray

TAB, SPACE, LAST_PRINTABLE = 9, 32, 126
SHORT = 8
"""Bytes of a cell that a key holds whole."""
LONG_KEY = np.uint64(1 << 63)
"""Set in the key of a longer cell, which is a hash of it; no printable byte sets it."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
PRIME = np.uint64(0x100000001B3)
DIGITS_MAX = 15
"""A double holds every whole number of so many digits."""


@njit(cache=True, nogil=True, error_model="numpy")
def cell_ends(text_T: Array, first: int, last: int, end_S: Array) -> tuple[int, bool]:
    """Writes where cells end in text[first:last] behind end_S[0]; how many do, and whether all other bytes are ASCII.

    Every byte below SPACE counts as an end; `encode` tells whether each is the right one.
    """
    ends, foreign = 1, False
    for place in range(first, last):
        byte = text_T[place]
        end_S[ends] = place
        ends += byte < SPACE
        foreign |= byte > LAST_PRINTABLE
    return ends - 1, not foreign


@njit(cache=True, nogil=True, error_model="numpy")
def encode(
    text_T: Array,
    end_S: Array,
    column: int,
    columns: int,
    separator: int,
    table_H: Array,
    bits: int,
    place_V: Array,
    distinct: int,
    code_R: Array,
    scratch: Array,
) -> tuple[int, bool]:
    """Writes the codes of a column's cells; its distinct values so far, and whether `separator` ends all its cells.

    `table_H`, uint64 [2 * 2**bits], holds key and code side by side, key 0 where nothing is; `place_V` is where each
    value was first met; both have room for R values more. `scratch` is uint64 [2, R + 1].
    """
    key_R, home_R = scratch[0], scratch[1]
    rows = len(end_S) // columns
    mask, shift = np.uint64((1 << bits) - 1), np.uint64(64 - bits)
    touched, good = np.uint64(0), True
    for row in range(rows):
        at = row * columns + column
        key_R[row] = _key(text_T, end_S[at] + 1, end_S[at + 1])
        good &= text_T[end_S[at + 1]] == separator
    for row in range(rows):  # the places of the hash table come to the cache side by side here, not one by one below
        home = (key_R[row] * GOLDEN) >> shift
        home_R[row] = home
        touched |= table_H[2 * home]
    key_R[rows] = touched
    for row in range(rows):
        key, home = key_R[row], home_R[row]
        while True:
            found = table_H[2 * home]
            if found == 0:
                table_H[2 * home], table_H[2 * home + 1] = key, distinct
                place_V[distinct] = end_S[row * columns + column] + 1
                code_R[row] = distinct
                distinct += 1
                break
            code = np.int64(table_H[2 * home + 1])
            if found == key and (key < LONG_KEY or _same(text_T, end_S[row * columns + column] + 1, place_V[code])):
                code_R[row] = code
                break
            home = (home + np.uint64(1)) & mask
    return distinct, good


@njit(cache=True, nogil=True, error_model="numpy")
def rehash(old_H: Array, table_H: Array, bits: int) -> None:
    """Puts all of an old table into a larger, empty one."""
    mask, shift = np.uint64((1 << bits) - 1), np.uint64(64 - bits)
    for place in range(0, len(old_H), 2):
        if old_H[place] != 0:
            home = (old_H[place] * GOLDEN) >> shift
            while table_H[2 * home] != 0:
                home = (home + np.uint64(1)) & mask
            table_H[2 * home], table_H[2 * home + 1] = old_H[place], old_H[place + 1]


@njit(cache=True, nogil=True, error_model="numpy")
def texts(text_T: Array, place_V: Array) -> tuple[Array, Array]:
    """Values as Arrow holds them: offsets int32 [V + 1] and their bytes."""
    offset_V = np.zeros(len(place_V) + 1, np.int32)
    for value in range(len(place_V)):
        offset_V[value + 1] = offset_V[value] + _length(text_T, place_V[value])
    joined = np.empty(offset_V[-1], np.uint8)
    for value in range(len(place_V)):
        start, to = place_V[value], offset_V[value]
        for i in range(offset_V[value + 1] - to):
            joined[to + i] = text_T[start + i]
    return offset_V, joined


@njit(cache=True, nogil=True, error_model="numpy")
def whole_numbers(text_T: Array, place_V: Array) -> tuple[Array, bool]:
    """Values as doubles, NaN where there is no text; and whether all others are whole and short enough to be exact."""
    number_V, good = np.empty(len(place_V)), True
    for value in range(len(place_V)):
        start = place_V[value]
        length = _length(text_T, start)
        negative = length > 1 and text_T[start] == ord("-")
        digits = length - negative
        good &= digits <= DIGITS_MAX
        number = np.int64(0)
        for i in range(start + negative, start + length):
            good &= ord("0") <= text_T[i] <= ord("9")
            number = 10 * number + (np.int64(text_T[i]) - ord("0"))
        number_V[value] = np.nan if length == 0 else -number if negative else number
    return number_V, good


@njit(cache=True, nogil=True, error_model="numpy")
def _key(text_T: Array, start: int, end: int) -> np.uint64:
    """Of a short cell its bytes after a 1 (8 bytes need none: printable ones are more); of a longer one a hash."""
    key = np.uint64(1)
    if end - start == SHORT:
        key = np.uint64(0)
        for i in range(SHORT):
            key = (key << np.uint64(8)) | np.uint64(text_T[start + i])
    elif end - start < SHORT:
        for i in range(start, end):
            key = (key << np.uint64(8)) | np.uint64(text_T[i])
    else:
        for i in range(start, end):
            key = (key ^ np.uint64(text_T[i])) * PRIME
        key |= LONG_KEY
    return key


@njit(cache=True, nogil=True, error_model="numpy")
def _length(text_T: Array, start: int) -> int:
    end = start
    while text_T[end] >= SPACE:
        end += 1
    return end - start


@njit(cache=True, nogil=True, error_model="numpy")
def _same(text_T: Array, one: int, other: int) -> bool:
    """Whether two cells are the same."""
    while text_T[one] == text_T[other] and text_T[one] >= SPACE:
        one, other = one + 1, other + 1
    return bool(text_T[one] < SPACE and text_T[other] < SPACE)
