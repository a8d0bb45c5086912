"""A family is one module that defines FAMILY: how sets interact, and the head that turns their mean into a logit.

A new family is a new file in recscale/models/interactions, or a module of the user's own; nothing else changes.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from recscale.errors import ConfigError
from recscale.models import interactions
from recscale.records import ModelSpec


@dataclass(frozen=True)
class Family:
    """What the model asks of a family."""

    name: str
    """The name in a ModelSpec and in every report."""
    build_interaction: Callable[[ModelSpec, int], nn.Module]
    """(spec, number of fields N) -> module: emb_MBNK -> tuple of streams, each [M, B, H]."""
    build_head: Callable[[ModelSpec], nn.Module]
    """spec -> module: tuple of streams averaged over sets, each [B, H] -> logit_B."""
    base_dim: int = 10
    """Embedding budget at scale 1 in the paper's protocol."""
    variants_differ: str = ""
    """How `paper` and `fair` differ; empty where they are the same model."""


def family_names() -> tuple[str, ...]:
    """Families that come with recscale, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(interactions.__path__)))


def get_family(name: str) -> Family:
    """The family of that name, or FAMILY of the user's own dotted module; ConfigError where there is none."""
    if "." not in name and name not in family_names():
        raise ConfigError(
            f"unknown family {name!r}; expected one of {', '.join(family_names())}, or the dotted name of a module "
            f"that defines FAMILY"
        )
    module_name = name if "." in name else f"{interactions.__name__}.{name}"
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(
            f"family {name!r}: module {module_name} cannot be imported ({type(error).__name__}: {error}); put it on "
            f"PYTHONPATH and make it importable, or choose one of {', '.join(family_names())}"
        ) from error
    family = getattr(module, "FAMILY", None)
    if not isinstance(family, Family):
        raise ConfigError(
            f"family {name!r}: module {module_name} has FAMILY = {family!r}; expected a recscale.models.families.Family"
        )
    return family
