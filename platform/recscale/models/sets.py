"""What embedding sets have in common and how they become one: the paper's way, and the ablations of it.

Legend: M embedding sets (of one model, or of several that are stacked), B batch, N fields, K columns that a set has per
id, H features of a stream.
"""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from recscale.models.families import Interaction
from recscale.records import Combination, ModelSpec, Sharing

Streams = tuple[Tensor, ...]
Across = Callable[[Streams], Streams]
"""Joined streams [B, H] of this worker's sets -> those of all workers' sets."""


def alone(joined_BH: Streams) -> Streams:
    """Where one worker has all sets."""
    return joined_BH


def interaction_spec(spec: ModelSpec) -> ModelSpec:
    """The spec that the interaction is built from: of a single set where one interaction serves all of them."""
    if spec.sharing is Sharing.SHARED_INTERACTION:
        return replace(spec, scale=spec.scale / spec.num_sets, num_sets=1)
    return spec


def interact(interaction: Interaction, emb_MBNK: Tensor, spec: ModelSpec) -> Streams:
    """Streams [M, B, H] of the vectors that the tables give, which are one set per model where the tables are shared.

    One interaction for all sets of a model sees their rows as one batch, so that its normalisation is over all of them.
    """
    if spec.sharing is Sharing.SHARED_TABLES:
        emb_MBNK = emb_MBNK.unsqueeze(1).expand(-1, spec.num_sets, -1, -1, -1).flatten(0, 1)
    if spec.sharing is not Sharing.SHARED_INTERACTION:
        streams: Streams = interaction(emb_MBNK)
        return streams
    rows = spec.num_sets * emb_MBNK.shape[1]
    together = interaction(emb_MBNK.reshape(-1, rows, *emb_MBNK.shape[2:]))
    return tuple(stream.view(len(emb_MBNK), -1, stream.shape[2]) for stream in together)


def joined_widths(widths: tuple[int, ...], spec: ModelSpec) -> tuple[int, ...]:
    """Features of each stream at the head."""
    sets = spec.num_sets if spec.combination is Combination.CONCATENATION else 1
    return tuple(sets * width for width in widths)


def join(head: nn.Module, streams_MBH: Streams, combination: Combination, across: Across = alone) -> Tensor:
    """logit_B from the streams of all sets; a single set is joined already, without a pass over it.

    Means are sums, divided: their gradient is one for all sets, where that of a mean is divided for each of them.
    """
    if len(streams_MBH[0]) == 1:
        joined = tuple(stream_MBH.squeeze(0) for stream_MBH in streams_MBH)
    elif combination is Combination.MEAN_FEATURES:
        joined = tuple(stream_MBH.sum(0) / len(stream_MBH) for stream_MBH in streams_MBH)
    elif combination is Combination.CONCATENATION:
        joined = tuple(stream_MBH.transpose(0, 1).flatten(1) for stream_MBH in streams_MBH)
    else:
        return _mean_logits(head, streams_MBH)
    logit_B: Tensor = head(across(joined))
    return logit_B


def _mean_logits(head: nn.Module, streams_MBH: Streams) -> Tensor:
    """The head scores the rows of all sets as one batch."""
    sets = len(streams_MBH[0])
    logit_MB: Tensor = head(tuple(stream_MBH.flatten(0, 1) for stream_MBH in streams_MBH)).view(sets, -1)
    return logit_MB.mean(0)
