"""A family is one module that defines FAMILY: how fields interact within a set, and the head after the sets are joined.

A new family is a new file in recscale/models/interactions, or a module of the user's own; nothing else changes. Only a
budget at scale 1 that is not the usual one stands in `specs` for recscale's own, where a grid reads it without torch.

Legend: M embedding sets, B batch, N fields, K columns that a set has per id, J columns of a block.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recscale.errors import ConfigError
from recscale.models import interactions
from recscale.models.specs import BASE_DIM, base_dim_of, check_family, family_names
from recscale.records import ModelSpec


def _one_vector(num_fields: int) -> int:
    return 1


class Interaction(nn.Module):
    """What turns the embeddings of every set into hidden features: emb_MBNK -> streams, each [M, B, width]."""

    widths: tuple[int, ...]
    """Features of each stream."""

    def cross_blocks(self) -> Tensor | None:
        """Blocks [M, N, N, J, K], entry (m, i, j) is W_{i->j}: E_i^{->j} = E_i W_{i->j}^T is what field i shows to j.

        None where the family has no such blocks.
        """
        return None

    def patterns(self) -> Tensor | None:
        """How strongly field i meets field j, [M, N, N]: ||W_{i->j}||_F, or the family's own weights; None without."""
        blocks_MNNJK = self.cross_blocks()
        return None if blocks_MNNJK is None else torch.linalg.matrix_norm(blocks_MNNJK)


@dataclass(frozen=True)
class Family:
    """What the model asks of a family."""

    name: str
    """The name in a ModelSpec and in every report."""
    build_interaction: Callable[[ModelSpec, int], Interaction]
    """(spec, number of fields N) -> module: emb_MBNK -> tuple of streams, each [M, B, width]."""
    build_head: Callable[[ModelSpec, tuple[int, ...]], nn.Module]
    """(spec, width of each stream) -> module: tuple of streams joined over sets, each [B, width] -> logit_B."""
    base_dim: int = BASE_DIM
    """Embedding budget at scale 1; of families that come with recscale, as `specs` has it."""
    vectors_per_id: Callable[[int], int] = _one_vector
    """Number of fields N -> vectors of embed_dim entries that a set holds per id, side by side as one longer K."""
    variants_differ: str = ""
    """How `paper` and `fair` differ; empty where they are the same model."""


def built_interaction(family: Family, spec: ModelSpec, num_fields: int) -> Interaction:
    """The family's interaction; ConfigError where it does not say how wide its streams are."""
    interaction = family.build_interaction(spec, num_fields)
    if not isinstance(getattr(interaction, "widths", None), tuple):
        raise ConfigError(
            f"family {family.name!r}: its interaction {type(interaction).__name__} has no widths; derive it from "
            f"recscale.models.families.Interaction and set self.widths = (features of each stream, ...)"
        )
    return interaction


def get_family(name: str) -> Family:
    """The family of that name, or FAMILY of the user's own dotted module; ConfigError where there is none."""
    check_family(name)
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
    if "." not in name and family.base_dim != base_dim_of(name):
        raise ConfigError(
            f"family {name!r} has base_dim {family.base_dim}, but grids take {base_dim_of(name)}; write it into "
            f"OTHER_BASE_DIMS of recscale.models.specs, and base_dim=base_dim_of({name!r}) into FAMILY"
        )
    return family
