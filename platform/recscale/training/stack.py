"""Runs that differ in their seed, stacked: a step of all of them is one step of stacked tensors.

Interactions hold the parameters of all sets in their tensors, so those of S seeds with M sets each are one interaction
of S*M sets; tables lie below one another. Heads, which are small, are called one by one. A run keeps its model and its
optimizers: their tensors become views of the stacked ones, so that it is evaluated, saved and restored as any other.

Legend: S seeds, M embedding sets of one seed, B batch, N fields, K columns that a set has per id.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from recscale.data.splits import Batch
from recscale.errors import TrialError
from recscale.models.families import Interaction, built_interaction, get_family
from recscale.models.sets import interact, interaction_spec, join
from recscale.records import ModelSpec, Penalty
from recscale.training.run import TrainingRun, autocast
from recscale.training.table_optimizers import catch_up, dense_adam, settle, table_optimizer

Held = tuple[torch.optim.Optimizer, nn.Parameter]
"""A run's parameter, and the run's optimizer that has its state."""


class SeedStack:
    """Runs of one spec but for the seed, all at the same step, moved side by side."""

    def __init__(self, runs: Sequence[TrainingRun]) -> None:
        first = runs[0]
        self.runs = list(runs)
        for run in runs:
            run.settle()
        self._model, self._train, self._tables = first.spec.model, first.spec.train, first.model.tables
        self._parts: dict[nn.Parameter, list[Held]] = {}
        tables = [(run.optimizers[0], run.model.tables.weight) for run in runs]
        self._table = self._stacked(nn.Parameter(torch.empty(0, device=first.device)), tables)
        self._interaction = self._stacked_interaction(first.device)
        for run in runs:
            self._parts |= {parameter: [(run.optimizers[1], parameter)] for parameter in run.model.head.parameters()}
        _, *dense = self._parts
        by_table = table_optimizer(self._table, self._train, self._tables.num_sets)
        self._optimizers = by_table, dense_adam(dense, self._train)
        self._take_states()
        start_S = torch.arange(len(runs), device=first.device) * len(self._tables.weight)
        self._offsets_S1N = start_S[:, None, None] + self._tables.offsets_N

    def train_until_evaluation(self) -> dict[TrainingRun, TrialError]:
        """Steps of all runs up to their next evaluation point; the runs whose loss is known not to be finite."""
        started = time.perf_counter()
        failed: dict[TrainingRun, TrialError] = {}

        @contextmanager
        def noted(run: TrainingRun) -> Iterator[None]:
            try:
                yield
            except TrialError as error:
                failed.setdefault(run, error)

        for batches in zip(*(run.until_evaluation() for run in self.runs), strict=True):
            for run, loss in zip(self.runs, self.optimize(batches), strict=True):
                with noted(run):
                    run.stepped(loss, loss)
        for run in self.runs:
            with noted(run):
                run.losses.check(run.step)
        settle(self._optimizers[0])
        self._give_states()
        seconds = time.perf_counter() - started
        for run in self.runs:
            run.train_seconds += seconds / len(self.runs)
        return failed

    def optimize(self, batches: Sequence[Batch]) -> Tensor:
        """One step of all optimizers on a batch of every run; loss_S."""
        ids_SBN = torch.stack([batch.ids_BN for batch in batches])
        label_SB = torch.stack([batch.label_B for batch in batches])
        rows_SBN = ids_SBN + self._offsets_S1N
        catch_up(self._optimizers[0], rows_SBN.flatten)
        with autocast(label_SB.device, self._train.precision):
            emb_SMBNK = self._tables.vectors(rows_SBN, self._table)
            logit_SB = self._score(emb_SMBNK.flatten(0, 1))
        loss_S = binary_cross_entropy_with_logits(logit_SB, label_SB, reduction="none").mean(1)
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_S.sum())
        for optimizer in self._optimizers:
            optimizer.step()
        return loss_S.detach()

    def _score(self, emb_MBNK: Tensor) -> Tensor:
        """logit_SB in float32 of the vectors of all seeds' sets."""
        streams = interact(self._interaction, emb_MBNK, self._model)
        own = zip(*(stream.view(len(self.runs), -1, *stream.shape[1:]).unbind() for stream in streams), strict=True)
        heads = [run.model.head for run in self.runs]
        logits = [join(head, mine, self._model.combination) for head, mine in zip(heads, own, strict=True)]
        return torch.stack(logits).float()

    def _stacked_interaction(self, device: torch.device) -> Interaction:
        """That of all sets of all runs; parameters and running statistics of the runs are views of its own."""
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):  # its first weights are not used
            stacked = _interaction(self._model, len(self.runs), len(self._tables.vocabulary_sizes)).to(device)
        for name, parameter in stacked.named_parameters():
            held = [(run.optimizers[1], run.model.interaction.get_parameter(name)) for run in self.runs]
            self._stacked(parameter, held)
        for name, buffer in stacked.named_buffers():
            own = [run.model.interaction.get_buffer(name) for run in self.runs]
            if _is_stack(buffer, own[0], len(own)):
                _move(buffer, own)
            else:
                buffer.copy_(own[0])
        return stacked

    def _stacked(self, stacked: nn.Parameter, held: list[Held]) -> nn.Parameter:
        """Takes over the runs' parameters."""
        _move(stacked, [parameter for _, parameter in held])
        self._parts[stacked] = held
        return stacked

    def _take_states(self) -> None:
        """The optimizers go on from the states of the runs' optimizers, which become parts of theirs."""
        for parameter, held in self._parts.items():
            states = [optimizer.state[own] for optimizer, own in held if own in optimizer.state]
            if states:
                joined = {name: _joined([state[name] for state in states]) for name in states[0]}
                self._optimizer(parameter).state[parameter] = joined
                self._give_state(parameter)

    def _give_state(self, parameter: nn.Parameter) -> None:
        """The runs' optimizers are left as if they had made the steps."""
        held, state = self._parts[parameter], self._optimizer(parameter).state.get(parameter)
        if state:
            for part, (optimizer, own) in enumerate(held):
                optimizer.state[own] = {name: _part(value, part, len(held)) for name, value in state.items()}

    def _optimizer(self, parameter: nn.Parameter) -> torch.optim.Optimizer:
        return self._optimizers[0 if parameter is self._table else 1]

    def _give_states(self) -> None:
        """The runs are left as if they had made the steps: states of their optimizers, and counts of batches."""
        for parameter in self._parts:
            self._give_state(parameter)
        for name, buffer in self._interaction.named_buffers():
            for run in self.runs:
                own = run.model.interaction.get_buffer(name)
                if own.shape == buffer.shape:
                    own.copy_(buffer)


def stack_problem(model: ModelSpec, penalty: Penalty, num_fields: int) -> str:
    """Why seeds of a spec cannot be trained stacked; empty where they can."""
    if penalty is not Penalty.NONE:
        return f"the penalty {penalty.value} is of one model"
    if _sets_lead(model, num_fields):
        return ""
    return "its interaction does not have the embedding sets in the first dimension of every parameter"


@lru_cache(maxsize=4096)
def _sets_lead(model: ModelSpec, num_fields: int) -> bool:
    """Whether an interaction of twice the sets has twice of every parameter."""
    with torch.device("meta"):
        one, two = (_interaction(model, seeds, num_fields) for seeds in (1, 2))
    single, double = (dict(each.named_parameters()) for each in (one, two))
    return single.keys() == double.keys() and all(_is_stack(double[name], single[name], 2) for name in single)


def _interaction(model: ModelSpec, seeds: int, num_fields: int) -> Interaction:
    """The interaction of `seeds` models, as one of that many times the sets."""
    one = interaction_spec(model)
    more = replace(one, num_sets=seeds * one.num_sets)
    more = replace(more, scale=one.scale * more.table_sets / one.table_sets)
    return built_interaction(get_family(model.family), more, num_fields)


def _is_stack(stacked: Tensor, own: Tensor, count: int) -> bool:
    """Whether a tensor has the shape of so many others below one another."""
    return own.dim() > 0 and stacked.shape == (count * len(own), *own.shape[1:])


def _move(stacked: Tensor, own: list[Tensor]) -> None:
    """Tensors become views of a stacked one, which takes over what they hold."""
    stacked.data = torch.cat([each.detach() for each in own])
    for each, part in zip(own, stacked.detach().chunk(len(own)), strict=True):
        each.data = part


def _joined(values: list[Tensor]) -> Tensor:
    """States of several parameters as that of the stacked one; what counts steps is the same in all."""
    return torch.cat(values) if values[0].dim() else values[0].clone()


def _part(value: Tensor, part: int, parts: int) -> Tensor:
    """A parameter's part of the stacked one's state."""
    return value.chunk(parts)[part] if value.dim() else value.clone()
