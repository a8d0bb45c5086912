"""Evidence II of Guo et al. (2024, sec. 4): a factorization machine in which a small field collapses a large one.

Three fields; the tables E_2 and E_3 are frozen, E_1 is trained on every pair (x_1, x_2) once, with x_3 and the label
uniformly random, by full-batch SGD. The model is the whole FM: logit = <e_1,e_2> + <e_1,e_3> + <e_2,e_3>.

The paper states neither K nor how the loss is normalised. The loss here is the MEAN binary cross-entropy over the batch
of 10,000: with K = 10 and learning rate 1 it gives, over 64 seeds, IA(E_1) 7.8 -> 5.9 (standard deviation 0.5) where
the third field has 3 ids, 7.8 -> 7.4 (0.3) where it has 100; the paper's one run has 7.7 -> 6.1 and 7.7 throughout.
With the summed loss the same steps are 10,000 times as long and diverge.

Legend: A, B, C ids of fields 1, 2, 3; K embedding dimension; D ids of field i; R = min(D, K) singular values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from recscale.collapse.spectra import information_abundance, spectrum_of_rows

ROWS = 100
"""Ids of the first and of the second field."""
RECORD_EVERY = 100
"""Steps between two looks at E_1."""


@dataclass(frozen=True)
class ToySettings:
    """One run of the toy experiment."""

    embed_dim: int
    """K."""
    third_size: int
    """Ids of the third field: 3 or 100 in the paper."""
    seed: int
    """Seed of the tables, the third field's ids and the labels."""
    steps: int = 5_000
    """Full-batch steps."""
    learning_rate: float = 1.0
    """Of plain SGD on the mean loss."""


@dataclass(frozen=True)
class GradientPart:
    """What field i adds to the gradient of E_1: row a is the sum over k of alpha_{i,k} s_{i,k} v_{i,k}."""

    alpha: Tensor
    """[A, R], residuals summed by id, on the left singular vectors; E_i's singular values are not in them."""
    spectrum: Tensor
    """[R], singular values s_{i,k} of E_i, descending."""
    directions: Tensor
    """[R, K], right singular vectors v_{i,k} of E_i, one per row."""

    def total(self) -> Tensor:
        """The part itself, [A, K]."""
        return (self.alpha * self.spectrum) @ self.directions


@dataclass(frozen=True)
class FieldPush:
    """How one field pushes E_1 at one moment, by singular value of its table, largest first."""

    alpha: tuple[float, ...]
    """Root mean square of alpha_{i,k} over the ids of field 1."""
    spectrum: tuple[float, ...]
    """s_{i,k}."""
    energy: tuple[float, ...]
    """Share of E_1's squared norm along v_{i,k}."""


@dataclass(frozen=True)
class ToyMoment:
    """One look at the experiment."""

    step: int
    """Steps done."""
    loss: float
    """Mean binary cross-entropy, in nats."""
    information_abundance: float
    """IA(E_1)."""
    second: FieldPush
    """By the second field."""
    third: FieldPush
    """By the third field."""


@dataclass(frozen=True)
class ToyWorld:
    """The data and the frozen tables of one run, in float64."""

    first: Tensor
    """E_1 before training, [A, K]."""
    second: Tensor
    """E_2, [B, K]."""
    third: Tensor
    """E_3, [C, K]."""
    third_ids: Tensor
    """x_3 of the row (x_1, x_2), [A, B]."""
    labels: Tensor
    """y of the row, [A, B]."""

    def logits(self, first_AK: Tensor) -> Tensor:
        """Of every row, [A, B]; products of whole tables, then a look-up of each row's x_3."""
        with_third_AB = (first_AK @ self.third.T).gather(1, self.third_ids)
        return torch.addmm(with_third_AB + self.constant(), first_AK, self.second.T)

    def constant(self) -> Tensor:
        """<e_2, e_3> of every row, which training does not move."""
        return (self.second @ self.third.T).gather(1, self.third_ids.T).T

    def residuals(self, first_AK: Tensor) -> tuple[Tensor, Tensor]:
        """d loss / d logit, summed by (x_1, x_2) and by (x_1, x_3): [A, B] and [A, C]."""
        by_second_AB = (self.logits(first_AK).sigmoid_() - self.labels).div_(self.labels.numel())
        by_third_AC = by_second_AB.new_zeros(len(first_AK), len(self.third))
        return by_second_AB, by_third_AC.scatter_add_(1, self.third_ids, by_second_AB)

    def gradient(self, first_AK: Tensor) -> Tensor:
        """d loss / d E_1, [A, K]."""
        by_second_AB, by_third_AC = self.residuals(first_AK)
        return torch.addmm(by_second_AB @ self.second, by_third_AC, self.third)


def toy_world(settings: ToySettings) -> ToyWorld:
    """Tables from N(0, 1), x_3 and y uniformly random."""
    generator = torch.Generator().manual_seed(settings.seed)
    first_AK, second_BK, third_CK = (
        torch.randn(rows, settings.embed_dim, generator=generator, dtype=torch.float64)
        for rows in (ROWS, ROWS, settings.third_size)
    )
    third_ids_AB = torch.randint(settings.third_size, (ROWS, ROWS), generator=generator)
    label_AB = torch.randint(2, (ROWS, ROWS), generator=generator).double()
    return ToyWorld(first_AK, second_BK, third_CK, third_ids_AB, label_AB)


def run_toy(settings: ToySettings) -> tuple[ToyMoment, ...]:
    """Trains E_1; a look every RECORD_EVERY steps, the first before training and the last after it."""
    world = toy_world(settings)
    first_AK = world.first.clone()
    moments = []
    with _one_thread():
        for step in range(settings.steps + 1):
            if step % RECORD_EVERY == 0 or step == settings.steps:
                moments.append(_look(world, first_AK, step))
            first_AK.sub_(world.gradient(first_AK), alpha=settings.learning_rate)
    return tuple(moments)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Products as small as these wait longer for a second thread than they run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def decompose(residual_AD: Tensor, table_DK: Tensor) -> GradientPart:
    """The part of a field with table E_i = sum_k s_k u_k v_k^T, from the residuals summed by (x_1, x_i)."""
    left_DR, spectrum_R, direction_RK = torch.linalg.svd(table_DK, full_matrices=False)
    return GradientPart(residual_AD @ left_DR, spectrum_R, direction_RK)


def _look(world: ToyWorld, first_AK: Tensor, step: int) -> ToyMoment:
    by_second_AB, by_third_AC = world.residuals(first_AK)
    return ToyMoment(
        step=step,
        loss=float(binary_cross_entropy_with_logits(world.logits(first_AK), world.labels)),
        information_abundance=information_abundance(spectrum_of_rows(first_AK)),
        second=_push(decompose(by_second_AB, world.second), first_AK),
        third=_push(decompose(by_third_AC, world.third), first_AK),
    )


def _push(part: GradientPart, first_AK: Tensor) -> FieldPush:
    energy_R = (first_AK @ part.directions.T).square().sum(0) / first_AK.square().sum()
    alpha_R = part.alpha.square().mean(0).sqrt()
    return FieldPush(tuple(alpha_R.tolist()), tuple(part.spectrum.tolist()), tuple(energy_R.tolist()))
