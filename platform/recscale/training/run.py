"""The state of one training run: its steps, evaluations, checkpoints and what it leaves behind.

Legend: B batch rows, N fields.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from recscale.collapse.measurement import SPECTRA_SCHEMA, CollapseMeasurement, spectra_table
from recscale.collapse.subembeddings import sub_embeddings_table
from recscale.collapse.tables import measure_tables
from recscale.data.reader import Dataset
from recscale.data.splits import Batch, Split
from recscale.errors import DataError
from recscale.models.accounting import account
from recscale.records import (
    Evaluation,
    Metrics,
    Precision,
    TrialResult,
    TrialSpec,
    canonical_json,
    from_json,
    to_plain,
)
from recscale.training.checkpoints import State
from recscale.training.losses import LossWindow
from recscale.training.membership import member_sample
from recscale.training.memory import MemoryPeak
from recscale.training.metrics import score_predictions
from recscale.training.parallel import ONE, Strategy
from recscale.training.penalties import build_penalty
from recscale.training.schedule import check_trial, next_evaluation, train_rows, trainable_batches
from recscale.training.table_optimizers import catch_up, dense_adam, load_optimizer, settle, table_optimizer
from recscale.training.trained import TrainedTrial

EVALUATION_BATCH = 8192
"""Rows per batch where no gradient is kept."""


@dataclass(frozen=True)
class RunData:
    """What a run reads of its dataset; runs that differ in their seed may share it."""

    splits: dict[str, Split]
    """train, as far as it is trained on; valid; test; members, of which train predictions are kept; on the device."""
    counts: list[np.ndarray]
    """Per field, how often each id occurs."""

    @classmethod
    def load(cls, dataset: Dataset, rows: int, device: torch.device) -> Self:
        """With the first `rows` rows to train on; DataError where the shards hold what no model could take."""
        dataset.check_rows()
        splits = {name: dataset.split(name) for name in ("train", "valid", "test")}
        splits["train"] = splits["train"].first(rows)
        splits["members"] = member_sample(splits["train"], splits["test"])
        return cls({name: split.resident(device) for name, split in splits.items()}, dataset.counts())


class TrainingRun:
    """The state of one trial between its first step and its last."""

    def __init__(
        self,
        spec: TrialSpec,
        dataset: Dataset,
        device: torch.device,
        strategy: Strategy = ONE,
        data: RunData | None = None,
    ) -> None:
        """With `data`, that instead of data of its own."""
        check_trial(spec, dataset, device)
        table_rows, rows = sum(dataset.manifest.vocabulary_sizes), train_rows(dataset, spec.train)
        strategy.check(spec, rows, table_rows)
        data = data or RunData.load(dataset, rows, device)
        torch.manual_seed(spec.seed)
        torch.set_float32_matmul_precision("high" if spec.train.precision is Precision.TF32 else "highest")
        self.spec, self.dataset, self.device, self.strategy = spec, dataset, device, strategy
        self.model = strategy.build(spec, dataset.manifest.vocabulary_sizes).to(device)
        self.penalty = build_penalty(spec.train, self.model).to(device)
        self.optimizers = (
            table_optimizer(self.model.tables.weight, spec.train, self.model.tables.num_sets),
            dense_adam([*self.model.dense_parameters(), *self.penalty.parameters()], spec.train),
        )
        self.splits, self.counts = data.splits, data.counts
        self.losses = LossWindow(device)
        self.history: tuple[Evaluation, ...] = ()
        self.spectra: list[pa.Table] = []
        self.best: State = {}
        self.best_index = 0
        self.step = self.epoch = self.batch = 0
        self.train_seconds = self.other_seconds = 0.0

    @property
    def finished(self) -> bool:
        """Whether patience or the epochs are used up."""
        stale = len(self.history) - 1 - self.best_index
        return self.epoch >= self.spec.train.max_epochs or stale >= self.spec.train.patience

    def train_until_evaluation(self) -> None:
        """Optimizer steps up to the next evaluation point of this epoch."""
        started = time.perf_counter()
        for batch in self.until_evaluation():
            self._optimize(batch)
        self.losses.check(self.step)
        self.settle()
        self.train_seconds += time.perf_counter() - started

    def until_evaluation(self) -> Iterator[Batch]:
        """Batches up to the next evaluation point of this epoch; a step is made on each before the next is taken."""
        train = self.spec.train
        batches = trainable_batches(self.splits["train"].rows, train.batch_size)
        stop = next_evaluation(self.batch, batches, train.evaluations_per_epoch)
        self.model.train()
        for batch in self.splits["train"].epoch(train.batch_size, self.spec.seed, self.epoch, self.batch):
            yield batch
            if self.batch == stop:
                break
        if self.batch == batches:
            self.epoch, self.batch = self.epoch + 1, 0

    def _optimize(self, batch: Batch) -> None:
        """One step of all optimizers."""
        strategy = self.strategy
        self.penalty.before_step(self.model.tables, batch.ids_BN)
        catch_up(self.optimizers[0], lambda: self.model.tables.rows_of(batch.ids_BN))
        strategy.begin(self.spec.seed, self.step)
        part = strategy.part(batch)
        with autocast(self.device, self.spec.train.precision):
            emb_MBNK = self.model.tables(part.ids_BN)
            logit_B = self.model.score(emb_MBNK)
        loss = part.weight * binary_cross_entropy_with_logits(logit_B, part.label_B)
        objective = loss + strategy.penalty_weight * self.penalty(self.model, emb_MBNK, self.step)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(objective)
        dense = self.optimizers[1].param_groups[0]["params"]
        loss, objective = strategy.reduce(self.model, dense, loss, objective)
        self.penalty.add_table_gradient(self.model.tables)
        for optimizer in self.optimizers:
            optimizer.step()
        self.penalty.after_step(self.model.tables)
        self.stepped(loss, objective)

    def stepped(self, loss: torch.Tensor, objective: torch.Tensor) -> None:
        """Counts a step and keeps its losses; TrialError where one of the last few is not finite."""
        self.step, self.batch = self.step + 1, self.batch + 1
        self.losses.add(loss, objective, self.step)

    def settle(self) -> None:
        """Steps that rows of the tables have deferred are made, so that the tables are what they say."""
        if settle(self.optimizers[0]):
            self.penalty.tables_settled(self.model.tables)

    def evaluate(self) -> Evaluation:
        """Looks at the valid split and the tables; keeps the weights where the valid AUC is the best so far."""
        self.settle()
        started = time.perf_counter()
        valid = score_predictions(*self._predict("valid"))
        measured = self._measure()
        batches = trainable_batches(self.splits["train"].rows, self.spec.train.batch_size)
        evaluation = Evaluation(
            step=self.step,
            epoch=self.epoch + self.batch / batches,
            train_loss=self.losses.take_mean(),
            valid=valid,
            collapse=measured.summary(),
        )
        self._remember(evaluation, measured)
        self.other_seconds += time.perf_counter() - started
        return evaluation

    def _remember(self, evaluation: Evaluation, measured: CollapseMeasurement) -> None:
        moment = "evaluation" if self.history else "initial"
        self.spectra.append(spectra_table([(moment, self.step, measured)], self._field_names()))
        self.history += (evaluation,)
        # The initialised model is never the best one: it has learned nothing, however the valid split falls.
        if len(self.history) <= 2 or evaluation.valid.auc > self.history[self.best_index].valid.auc:
            self.best_index = len(self.history) - 1
            self.best = {key: value.detach().to("cpu", copy=True) for key, value in self.model.state_dict().items()}

    def _measure(self) -> CollapseMeasurement:
        sizes = self.dataset.manifest.vocabulary_sizes
        return measure_tables(self.strategy.table_rows(self.model), sizes, self.spec.model.table_sets, self.counts)

    def _sub_embeddings(self) -> pa.Table | None:
        """Of the weights as they are now."""
        blocks_MNNJK = self.model.interaction.cross_blocks()
        if blocks_MNNJK is None:
            return None
        sizes = self.dataset.manifest.vocabulary_sizes
        rows = self.strategy.sub_embeddings(self.model, sizes, blocks_MNNJK)
        return sub_embeddings_table(rows, self._field_names())

    def _field_names(self) -> list[str]:
        return [field.name for field in self.dataset.manifest.fields]

    def _predict(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (float32) and labels of a whole split in its order, on the device."""
        self.model.eval()
        logits, labels = [], []
        with torch.inference_mode(), autocast(self.device, self.spec.train.precision):
            for batch in self.splits[split].in_order(EVALUATION_BATCH):
                logits.append(self.strategy.score(self.model, batch.ids_BN))
                labels.append(batch.label_B)
            logit_R = self.strategy.gathered(torch.cat(logits))
        return logit_R, torch.cat(labels)

    def state(self) -> State:
        """Everything a restarted process needs to end with the same bits."""
        self.settle()
        return {
            "trial_id": self.spec.trial_id,
            "model": self.model.state_dict(),
            "penalty": self.penalty.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "best": self.best,
            "best_index": self.best_index,
            "position": [self.step, self.epoch, self.batch],
            "seconds": [self.train_seconds, self.other_seconds],
            "history": canonical_json(to_plain(self.history)),
            "spectra": _table_bytes(pa.concat_tables(self.spectra)),
            "cpu_rng": torch.get_rng_state(),
            "device_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def restore(self, state: State) -> None:
        """Goes on from a state of the same trial; DataError where it is another trial's, or does not fit this one."""
        if state.get("trial_id") != self.spec.trial_id:
            raise DataError(f"checkpoint of trial {state.get('trial_id')!r} found in place of {self.spec.trial_id!r}")
        try:
            self._restore(state)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise DataError(
                f"the checkpoint of trial {self.spec.trial_id} does not fit it ({reason}); delete it to start over"
            ) from error

    def _restore(self, state: State) -> None:
        self.best, self.best_index = state["best"], int(state["best_index"])
        self.model.load_state_dict(self.best)
        self.model.load_state_dict(state["model"])
        self.penalty.load_state_dict(state["penalty"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            load_optimizer(optimizer, saved)
        self.step, self.epoch, self.batch = map(int, state["position"])
        self.train_seconds, self.other_seconds = map(float, state["seconds"])
        self.history = from_json(tuple[Evaluation, ...], state["history"], "the checkpoint's history")
        _ = self.history[self.best_index], range(self.step + 1)[self.batch], range(self.step + 1)[self.epoch]
        self.spectra = [_bytes_table(state["spectra"])]
        torch.set_rng_state(state["cpu_rng"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["device_rng"], self.device)

    def conclude(self, peak: MemoryPeak) -> TrainedTrial:
        """Tests the best weights and gathers what the trial leaves behind.

        The rows trained on cost one more pass over as many rows as test has, 65,536 at most, and five bytes each.
        """
        started = time.perf_counter()
        self.model.load_state_dict(self.best)
        logit_B, label_B = self._predict("test")
        test = score_predictions(logit_B, label_B)
        member_logit_B, member_label_B = self._predict("members")
        sub_embeddings = self._sub_embeddings()
        self.other_seconds += time.perf_counter() - started
        return TrainedTrial(
            result=self._result(test, peak),
            spectra=_mark_best(pa.concat_tables(self.spectra), self.history[self.best_index].step),
            test_logits=logit_B.cpu().numpy(),
            test_labels=label_B.to("cpu", torch.uint8).numpy(),
            train_logits=member_logit_B.cpu().numpy(),
            train_labels=member_label_B.to("cpu", torch.uint8).numpy(),
            sub_embeddings=sub_embeddings,
        )

    def _result(self, test: Metrics, peak: MemoryPeak) -> TrialResult:
        spec, best = self.spec, self.history[self.best_index]
        cost = account(spec.model, spec.train, self.dataset.manifest.vocabulary_sizes)
        return TrialResult(
            trial_id=spec.trial_id,
            valid=best.valid,
            test=test,
            collapse=best.collapse,
            best_step=best.step,
            steps=self.step,
            history=self.history,
            embed_dim=spec.model.embed_dim,
            table_params=cost.table_params,
            dense_params=cost.dense_params,
            flops_per_sample=cost.flops_per_sample,
            samples_per_second=self._samples_seen() / self.train_seconds,
            seconds=self.train_seconds + self.other_seconds,
            peak_memory_bytes=self.strategy.largest(peak.read()),
            device=torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
        )

    def _samples_seen(self) -> int:
        rows = self.splits["train"].rows
        return self.epoch * rows + self.batch * self.spec.train.batch_size


def autocast(device: torch.device, precision: Precision) -> Any:
    """Runs matrix products in bfloat16 for bf16; does nothing otherwise."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision is Precision.BF16)


def _mark_best(spectra: pa.Table, best_step: int) -> pa.Table:
    """Renames the moment of the best evaluation's rows to `best`."""
    moments = [
        "best" if step == best_step and moment == "evaluation" else moment
        for step, moment in zip(spectra["step"].to_pylist(), spectra["moment"].to_pylist(), strict=True)
    ]
    return spectra.set_column(spectra.schema.get_field_index("moment"), "moment", pa.array(moments, pa.string()))


def _table_bytes(table: pa.Table) -> torch.Tensor:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return torch.frombuffer(bytearray(sink.getvalue()), dtype=torch.uint8)


def _bytes_table(data: torch.Tensor) -> pa.Table:
    table = pa.ipc.open_stream(data.numpy().tobytes()).read_all().cast(SPECTRA_SCHEMA)
    table.validate(full=True)
    return table
