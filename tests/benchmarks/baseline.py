"""What a user would run instead: plain PyTorch in the style of the paper's release.

One `nn.Embedding` per set over all fields, dense gradients, dense Adam, a Python loop over sets, and a row-wise Dataset
behind a DataLoader. Same maths as ours in the `paper` variant, so the two can be held against each other step by step.

Legend: B batch, N fields, K embedding dimension per set, H hidden, J feature maps of a CIN layer.
"""

from collections.abc import Sequence
from itertools import accumulate, combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

HIDDEN = (400, 400)
CROSS_LAYERS = 4
CIN_SIZES = (16, 16)


class SetTable(nn.Module):
    """The table of one set, all fields below each other."""

    def __init__(self, vocabulary_sizes: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sum(vocabulary_sizes), embed_dim)
        self.offsets = [0, *accumulate(vocabulary_sizes)][:-1]
        nn.init.xavier_uniform_(self.embedding.weight)

    def forward(self, ids_BN: Tensor) -> Tensor:
        """emb_BNK."""
        return self.embedding(ids_BN + ids_BN.new_tensor(self.offsets))


def mlp(inputs: int, sizes: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear, BatchNorm, ReLU, Dropout per layer."""
    layers: list[nn.Module] = []
    for outputs in sizes:
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)]
        inputs = outputs
    return nn.Sequential(*layers)


class DNN(nn.Module):
    def __init__(self, fields: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.projection = mlp(fields * embed_dim, HIDDEN[:1], dropout)

    def forward(self, emb_BNK: Tensor) -> tuple[Tensor, ...]:
        return (self.projection(emb_BNK.flatten(1)),)


class IPNN(nn.Module):
    def __init__(self, fields: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.pairs = list(combinations(range(fields), 2))
        self.projection = mlp(fields * embed_dim + len(self.pairs), HIDDEN[:1], dropout)

    def forward(self, emb_BNK: Tensor) -> tuple[Tensor, ...]:
        left, right = [i for i, _ in self.pairs], [j for _, j in self.pairs]
        products_BP = (emb_BNK[:, left] * emb_BNK[:, right]).sum(2)
        return (self.projection(torch.cat([emb_BNK.flatten(1), products_BP], 1)),)


class NFwFM(nn.Module):
    def __init__(self, fields: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(fields, fields)))
        self.projection = mlp(embed_dim, HIDDEN[:1], dropout)

    def forward(self, emb_BNK: Tensor) -> tuple[Tensor, ...]:
        products_BNNK = emb_BNK.unsqueeze(1) * emb_BNK.unsqueeze(2)
        return (self.projection((self.weight.unsqueeze(-1) * products_BNNK).sum((1, 2))),)


class XDeepFM(nn.Module):
    def __init__(self, fields: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        maps = (fields, *CIN_SIZES)
        self.layers = nn.ModuleList(nn.Conv1d(fields * maps[i], maps[i + 1], 1) for i in range(len(CIN_SIZES)))
        self.projection = mlp(fields * embed_dim, HIDDEN[:1], dropout)

    def forward(self, emb_BNK: Tensor) -> tuple[Tensor, ...]:
        x_BJK, outputs = emb_BNK, []
        for layer in self.layers:
            outer_BNJK = emb_BNK.unsqueeze(2) * x_BJK.unsqueeze(1)
            x_BJK = layer(outer_BNJK.flatten(1, 2))
            outputs.append(x_BJK)
        return torch.cat(outputs, 1).sum(2), self.projection(emb_BNK.flatten(1))


class DCNv2(nn.Module):
    def __init__(self, fields: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        inputs = fields * embed_dim
        self.layers = nn.ModuleList(nn.Linear(inputs, inputs) for _ in range(CROSS_LAYERS))
        self.projection = mlp(inputs, HIDDEN[:1], dropout)

    def forward(self, emb_BNK: Tensor) -> tuple[Tensor, ...]:
        x0_BI = x_BI = emb_BNK.flatten(1)
        for layer in self.layers:
            x_BI = x0_BI * layer(x_BI) + x_BI
        return (self.projection(x_BI),)


class FinalMLP(nn.Module):
    def __init__(self, fields: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.first = mlp(fields * embed_dim, HIDDEN, dropout)
        self.second = mlp(fields * embed_dim, HIDDEN, dropout)

    def forward(self, emb_BNK: Tensor) -> tuple[Tensor, ...]:
        return self.first(emb_BNK.flatten(1)), self.second(emb_BNK.flatten(1))


class MLPHead(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.hidden = mlp(HIDDEN[0], HIDDEN[1:], dropout)
        self.output = nn.Linear(HIDDEN[-1], 1)

    def forward(self, h_BH: Tensor) -> Tensor:
        return self.output(self.hidden(h_BH)).squeeze(1)


class XDeepFMHead(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.cin = nn.Linear(sum(CIN_SIZES), 1)
        self.deep = MLPHead(dropout)

    def forward(self, cin_BJ: Tensor, h_BH: Tensor) -> Tensor:
        return self.cin(cin_BJ).squeeze(1) + self.deep(h_BH)


class FusionHead(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        width = HIDDEN[-1]
        self.first, self.second = nn.Linear(width, 1), nn.Linear(width, 1, bias=False)
        self.bilinear = nn.Parameter(nn.init.xavier_normal_(torch.empty(width, width)))

    def forward(self, first_BH: Tensor, second_BH: Tensor) -> Tensor:
        joint_B = ((first_BH @ self.bilinear) * second_BH).sum(1)
        return (self.first(first_BH) + self.second(second_BH)).squeeze(1) + joint_B


FAMILIES: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "dnn": (DNN, MLPHead),
    "ipnn": (IPNN, MLPHead),
    "nfwfm": (NFwFM, MLPHead),
    "xdeepfm": (XDeepFM, XDeepFMHead),
    "dcnv2": (DCNv2, MLPHead),
    "finalmlp": (FinalMLP, FusionHead),
}
"""Interaction of a set and head after the mean over sets."""


class BaselineModel(nn.Module):
    """Every set by itself, then the mean of what they say."""

    def __init__(
        self, family: str, vocabulary_sizes: Sequence[int], num_sets: int, embed_dim: int, dropout: float
    ) -> None:
        super().__init__()
        interaction, head = FAMILIES[family]
        fields = len(vocabulary_sizes)
        self.tables = nn.ModuleList(SetTable(vocabulary_sizes, embed_dim) for _ in range(num_sets))
        self.interactions = nn.ModuleList(interaction(fields, embed_dim, dropout) for _ in range(num_sets))
        self.head = head(dropout)

    def forward(self, ids_BN: Tensor) -> Tensor:
        """logit_B."""
        sets = [interact(table(ids_BN)) for table, interact in zip(self.tables, self.interactions, strict=True)]
        streams = [torch.stack(stream, -1).mean(-1) for stream in zip(*sets, strict=True)]
        return self.head(*streams)


class BaselineTraining:
    """Model and dense Adam, one step at a time."""

    def __init__(self, model: BaselineModel, learning_rate: float = 1e-3, weight_decay: float = 1e-6) -> None:
        self.model = model.train()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
        self.criterion = nn.BCEWithLogitsLoss()

    def step(self, ids_BN: Tensor, label_B: Tensor) -> float:
        """One step; its loss, which the release, too, reads at every step."""
        loss = self.criterion(self.model(ids_BN), label_B.float())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


class Rows(Dataset):
    """A row at a time."""

    def __init__(self, ids_RN: np.ndarray, label_R: np.ndarray) -> None:
        self.ids_RN, self.label_R = ids_RN, label_R

    def __len__(self) -> int:
        return len(self.ids_RN)

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.uint8]:
        return self.ids_RN[row], self.label_R[row]


def loader(ids_RN: np.ndarray, label_R: np.ndarray, batch_size: int, *, shuffle: bool) -> DataLoader:
    """Batches of a row-wise Dataset, collated by torch."""
    return DataLoader(Rows(ids_RN, label_R), batch_size=batch_size, shuffle=shuffle)
