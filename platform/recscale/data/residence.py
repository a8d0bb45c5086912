"""Which splits a device holds, of those that it reads."""

from collections.abc import Sequence


def held_bytes(splits: Sequence[int], free: int) -> int:
    """Bytes of the splits of these sizes that a device with so much free memory holds: each that fits in half of it."""
    held = 0
    for num_bytes in splits:
        if num_bytes <= (free - held) // 2:
            held += num_bytes
    return held
