"""A small world of five fields, models on it, and single-embedding references in plain torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from recscale.models import products
from recscale.models.model import MultiEmbeddingModel
from recscale.models.normalisation import NormReLUDropout
from recscale.models.tables import GradientLayout
from recscale.records import ModelSpec, Variant

VOCABULARY_SIZES = (7, 3, 11, 2, 5)
SMALL = ModelSpec("dnn", scale=1.2, num_sets=3, hidden_sizes=(32, 24), dropout=0.0, cross_layers=2, cin_sizes=(4, 3))
ModelMaker = Callable[..., MultiEmbeddingModel]


def biases_before_norms(model: nn.Module) -> set[str]:
    """Names of the biases that a norm takes away again: they have no gradient."""
    norms = [name for name, module in model.named_modules() if isinstance(module, NormReLUDropout)]
    return {f"{stack}.{int(place) - 1}.bias" for stack, _, place in (name.rpartition(".") for name in norms)}


@pytest.fixture(params=["oneDNN", "oneDNN and torch", "torch"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What multiplies, whichever CPU this is. oneDNN's name in torch is private: where it is gone that has to show."""
    onednn = None if request.param == "torch" else torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(products, "_onednn", lambda: onednn)
    monkeypatch.setattr(products, "_wide", lambda: request.param == "oneDNN")


@pytest.fixture(name="ids_BN")
def fixture_ids() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.stack([torch.randint(size, (64,), generator=generator) for size in VOCABULARY_SIZES], 1)


@pytest.fixture
def make_model() -> ModelMaker:
    """make_model(family, layout=..., **changes to SMALL): seeded, with tables large enough for products to count."""

    def make(family: str, layout: GradientLayout = GradientLayout.SPARSE, **changes: object) -> MultiEmbeddingModel:
        torch.manual_seed(5)
        spec = replace(SMALL, family=family, **changes)
        model = MultiEmbeddingModel(spec, VOCABULARY_SIZES, layout)
        nn.init.normal_(model.tables.weight)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        return model

    return make


@dataclass(frozen=True)
class Reference:
    """Pieces of a single-embedding model written with torch's own layers; parameters are looked up by name."""

    model: MultiEmbeddingModel

    def get(self, name: str) -> Tensor:
        return self.model.state_dict()[name]

    def fields(self, ids_BN: Tensor) -> list[Tensor]:
        """e_i [B, K] of every field, by one nn.Embedding per field."""
        tables = self.get("tables.weight").split(list(VOCABULARY_SIZES))
        return [nn.Embedding.from_pretrained(table)(ids_BN[:, i]) for i, table in enumerate(tables)]

    def linear(self, name: str, x: Tensor) -> Tensor:
        """The only set's nn.Linear."""
        return functional.linear(x, self.get(f"{name}.weight")[0].T, self.get(f"{name}.bias")[0, 0])

    def projection(self, name: str, x: Tensor) -> Tensor:
        return functional.relu(self._norm(f"{name}.1", self.linear(f"{name}.0", x)))

    def head(self, name: str, x: Tensor) -> Tensor:
        """Linear, BatchNorm, ReLU, then Linear to the logit."""
        hidden = functional.linear(x, self.get(f"{name}.layers.0.weight"), self.get(f"{name}.layers.0.bias"))
        hidden = functional.relu(self._norm(f"{name}.layers.1", hidden))
        return functional.linear(hidden, self.get(f"{name}.layers.2.weight"), self.get(f"{name}.layers.2.bias"))[:, 0]

    def _norm(self, name: str, x: Tensor) -> Tensor:
        scale, shift = self.get(f"{name}.weight"), self.get(f"{name}.bias")
        if self.model.training:
            return functional.batch_norm(x, None, None, scale, shift, training=True)
        return functional.batch_norm(x, self.get(f"{name}.running_mean"), self.get(f"{name}.running_var"), scale, shift)


SingleReference = Callable[[Reference, list[Tensor]], Tensor]


@pytest.fixture
def assert_single_embedding_equals(make_model: ModelMaker, ids_BN: Tensor) -> Callable[..., None]:
    """Checks a family at num_sets = 1 against reference(pieces, fields) -> logit_B, evaluating and training."""

    def check(family: str, reference: SingleReference, variant: Variant = Variant.FAIR, **changes: object) -> None:
        model = make_model(family, num_sets=1, variant=variant, **changes)
        for mode in (model.eval, model.train):
            pieces = Reference(mode())
            expected = reference(pieces, pieces.fields(ids_BN))
            torch.testing.assert_close(model(ids_BN), expected, rtol=1e-4, atol=1e-4)

    return check


@pytest.fixture
def dense_params() -> Callable[..., int]:
    """Entries outside the tables at Criteo's shape: 39 fields, scale 10."""

    def count(family: str, num_sets: int, **changes: object) -> int:
        with torch.device("meta"):
            model = MultiEmbeddingModel(replace(ModelSpec(family, scale=10, num_sets=num_sets), **changes), [50] * 39)
        return sum(parameter.numel() for parameter in model.dense_parameters())

    return count
