"""The baseline is the same model as ours: the same losses under dense Adam, step by step, with dropout off.

In float64: Adam scales a gradient of rounding errors (a bias before a batch norm has no other) up to its learning rate,
so that two orders of summation in float32 part by 1e-4 within fifty steps.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from recscale.models.model import MultiEmbeddingModel
from recscale.records import PAPER_TRAINING, ModelSpec, TrialSpec, Variant
from recscale.training.run import TrainingRun
from tests.benchmarks.baseline import FAMILIES, BaselineModel, BaselineTraining, loader
from tests.benchmarks.world import CRITEO_IDS, vocabulary_sizes, zipf_dataset

SIZES = vocabulary_sizes(400, fields=6)
STEPS, BATCH = 50, 128
Get = Callable[[str], Tensor]


def _linear(layer: nn.Module, weight_IO: Tensor, bias_O: Tensor) -> None:
    layer.weight.copy_(weight_IO.T.reshape(layer.weight.shape))
    layer.bias.copy_(bias_O.flatten())


def _norm(layer: nn.Module, state: Get, name: str, part: slice) -> None:
    layer.weight.copy_(state(f"{name}.weight")[part])
    layer.bias.copy_(state(f"{name}.bias")[part])


def _mlp(layers: nn.Sequential, state: Get, name: str, m: int) -> None:
    """A SetProjection or a SetMLP into Linear, BatchNorm, ReLU, Dropout, ..."""
    for number, place in enumerate(range(0, len(layers), 4)):
        inner = name if len(layers) == 4 else f"{name}.{number}"
        width = layers[place].out_features
        _linear(layers[place], state(f"{inner}.0.weight")[m], state(f"{inner}.0.bias")[m])
        _norm(layers[place + 1], state, f"{inner}.1", slice(m * width, (m + 1) * width))


def _interaction(target: nn.Module, state: Get, family: str, m: int) -> None:
    if family == "finalmlp":
        for stream, layers in enumerate((target.first, target.second)):
            _mlp(layers, state, f"streams.{stream}", m)
        return
    _mlp(target.projection, state, "projection", m)
    if family == "nfwfm":
        target.weight.copy_(state("field_weights.weight")[m])
    if family == "dcnv2":
        for number, layer in enumerate(target.layers):
            _linear(layer, state(f"cross.{number}.weight")[m], state(f"cross.{number}.bias")[m])
    if family == "xdeepfm":
        for number, layer in enumerate(target.layers):
            layer.weight.copy_(state(f"cin.{number}.weight")[m].reshape(layer.weight.shape))
            layer.bias.copy_(state(f"cin.{number}.bias")[m].flatten())


def _head(target: nn.Module, state: Get, family: str) -> None:
    if family == "finalmlp":
        target.first.load_state_dict({"weight": state("first.weight"), "bias": state("first.bias")})
        target.second.weight.copy_(state("second.weight"))
        target.bilinear.copy_(state("bilinear.weight"))
        return
    if family == "xdeepfm":
        target.cin.load_state_dict({"weight": state("linear.weight"), "bias": state("linear.bias")})
        target, state = target.deep, (lambda name, own=state: own(f"mlp.{name}"))
    _linear(target.hidden[0], state("layers.0.weight").T, state("layers.0.bias"))
    _norm(target.hidden[1], state, "layers.1", slice(None))
    _linear(target.output, state("layers.2.weight").T, state("layers.2.bias"))


@torch.no_grad()
def copy_weights(ours: MultiEmbeddingModel, baseline: BaselineModel) -> None:
    """Starts the baseline where ours starts."""
    state = ours.state_dict()
    for m, (table, interaction) in enumerate(zip(baseline.tables, baseline.interactions, strict=True)):
        table.embedding.weight.copy_(ours.tables.by_set()[:, m])
        _interaction(interaction, lambda name: state[f"interaction.{name}"], ours.spec.family, m)
    _head(baseline.head, lambda name: state[f"head.{name}"], ours.spec.family)


class RoundedLogits(BaselineModel):
    """As ours, whose logits are float32 whatever the weights are."""

    def forward(self, ids_BN: Tensor) -> Tensor:
        return super().forward(ids_BN).float()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return zipf_dataset(tmp_path_factory.mktemp("zipf") / "data", rows=BATCH * 8, sizes=SIZES, held_out=256)


@pytest.mark.parametrize("num_sets", [1, 3])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_losses_are_ours_under_dense_adam_over_fifty_steps(dataset, family: str, num_sets: int) -> None:
    variant = Variant.FAIR if family == "ipnn" else Variant.PAPER
    model = ModelSpec(family, scale=float(num_sets), num_sets=num_sets, base_dim=4, dropout=0.0, variant=variant)
    spec = TrialSpec(dataset.manifest.fingerprint, model, replace(PAPER_TRAINING, batch_size=BATCH), seed=0)
    run = TrainingRun(spec, dataset, torch.device("cpu"))
    run.model.train().double()
    baseline = RoundedLogits(family, SIZES, num_sets, model.embed_dim, dropout=0.0).double()
    copy_weights(run.model, baseline)
    training = BaselineTraining(baseline)
    ours, theirs = [], []
    batches = chain.from_iterable(run.splits["train"].epoch(BATCH, 0, epoch) for epoch in range(STEPS))
    for batch in islice(batches, STEPS):
        run._optimize(batch)
        ours.append(run.losses.take_mean())
        theirs.append(training.step(batch.ids_BN.long(), batch.label_B))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=0, atol=1e-5)
    assert ours[-1] < ours[0]


def test_the_row_wise_loader_gives_every_row(dataset) -> None:
    split = dataset.split("train")
    ids_RN = torch.cat([batch.ids_BN for batch in split.in_order(64)]).numpy()
    batches = list(loader(ids_RN, split.labels(), 100, shuffle=True))
    seen = torch.cat([ids for ids, _ in batches])
    assert sorted(map(tuple, seen.tolist())) == sorted(map(tuple, ids_RN.tolist()))
    assert int(sum(label.sum() for _, label in batches)) == split.positives


def test_the_world_has_criteos_shape(tmp_path: Path) -> None:
    sizes = vocabulary_sizes()
    assert len(sizes) == 39
    assert sum(sizes) == pytest.approx(CRITEO_IDS, rel=1e-3)
    assert min(sizes) == 4
