"""What may stand in a ModelSpec, known without torch: families by name, their budgets, settings of a model."""

import pkgutil
from collections.abc import Sequence

from recscale.errors import ConfigError
from recscale.models import interactions
from recscale.records import ModelSpec

BASE_DIM = 10
"""Embedding budget at scale 1 in the paper's protocol."""
OTHER_BASE_DIMS = {"nfwfm": 50, "ffm": 4}
"""Those of families that have another: nfwfm's is the paper's, and ffm holds a vector per other field."""


def family_names() -> tuple[str, ...]:
    """Families that come with recscale, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(interactions.__path__)))


def check_family(name: str) -> None:
    """ConfigError where the name is neither one of recscale's families nor that of a user's own module."""
    if "." not in name and name not in family_names():
        raise ConfigError(
            f"unknown family {name!r}; expected one of {', '.join(family_names())}, or the dotted name of a module "
            f"that defines FAMILY"
        )


def base_dim_of(family: str) -> int:
    """Embedding budget at scale 1; ConfigError where there is no such family. A user's own says it, with torch."""
    check_family(family)
    if "." not in family:
        return OTHER_BASE_DIMS.get(family, BASE_DIM)
    from recscale.models.families import get_family

    return get_family(family).base_dim


def check_spec(spec: ModelSpec) -> None:
    """Raises ConfigError naming the first setting that no model can have, a budget that does not divide included."""
    expectations = (
        ("num_sets", spec.num_sets, spec.num_sets >= 1, "1 or more"),
        ("scale", spec.scale, spec.scale > 0, "more than 0"),
        ("base_dim", spec.base_dim, spec.base_dim >= 1, "1 or more"),
        ("dropout", spec.dropout, 0 <= spec.dropout < 1, "a probability from 0 to below 1"),
        ("hidden_sizes", spec.hidden_sizes, _positive(spec.hidden_sizes), "one or more widths of 1 or more"),
        ("cross_layers", spec.cross_layers, spec.cross_layers >= 1, "1 or more"),
        ("block_layers", spec.block_layers, spec.block_layers >= 1, "1 or more"),
        ("attention_heads", spec.attention_heads, spec.attention_heads >= 1, "1 or more"),
        ("tokens", spec.tokens, spec.tokens >= 1, "1 or more"),
        ("cin_sizes", spec.cin_sizes, _positive(spec.cin_sizes), "one or more layers of 1 or more feature maps"),
    )
    for name, got, holds, expected in expectations:
        if not holds:
            raise ConfigError(f"{spec.family}: {name} is {got}; expected {expected}; change the model's {name}")
    _ = spec.embed_dim


def _positive(sizes: Sequence[int]) -> bool:
    return len(sizes) > 0 and min(sizes) >= 1
