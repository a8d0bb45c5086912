"""Dense Adam on a table at the cost of the rows that a batch touches: rows take the steps without a gradient late.

Under Adam a row moves on by its momentum when it has no gradient, and by how much is known beforehand. A row that had
moments m and v after step t has moved, k steps without a gradient later, by lr times

    sum over j = 1..k of  c_j m / (s_j sqrt(v) + eps),  c_j = b1^j / (1 - b1^(t+j)),  s_j = sqrt(b2^j / (1 - b2^(t+j)))

(Kingma and Ba 2015; b1 = 0.9, b2 = 0.999, eps = 1e-8). It takes these steps at once when it is next needed, with the
sum written as P m / (sqrt(v) P / Q + eps), P = sum of c_j, Q = sum of c_j / s_j. That is exact for eps = 0 and v = 0.
Between the two it is off by as much as s_j differ over the ten or so steps that count. Where sqrt(v) is of the size of
eps that is 5 % of the sum at most in the very first steps, 5e-4 from step 100 on, 2e-5 from step 1,000 on; else less.
P and Q are differences of sums to infinity, laid down once: from t on, less b1^k times the same from t + k on.

Decoupled decay shrinks weights by d at every step: sums are then those of b1 / d, and all is shrunk by d^k. L2 in the
gradient would be a gradient; it is of touched rows only, as with other optimizers of touched rows.

Legend: V table rows, L looked-up rows of a batch, duplicates included, C columns of a row, S steps.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recscale.errors import ConfigError
from recscale.models.tables import compiles
from recscale.records import Decay, TableOptimizer, TrainSpec
from recscale.training.row_optimizers import BETAS, LazyAdam, decay_of

HORIZON = 50_000
"""Steps from which on bias corrections are 1 in float64, with Adam's betas."""
TERMS = 500
"""Steps without a gradient that count: 0.9^500 is 1e-23."""
STRONGEST_DECAY = 0.05
"""learning_rate * weight_decay up to which TERMS steps of decoupled decay are enough: (0.9 / 0.95)^500 is 2e-12."""
SETTLED_ENTRIES = 2**22
"""Entries of a table that catch up at a time where all have to."""


class DeferredAdam(LazyAdam):
    """Adam (AdamW where decoupled) of one table whose rows are as they were when they were last needed.

    Rows have to `catch_up` before they are looked up and before a step with a gradient of them; the table has to
    `settle` before it is read as a whole, before `state_dict`, which knows of no row that is behind, and before the
    learning rate changes. A step that was captured in a CUDA graph is good until then.
    """

    _step_V: Tensor | None = None  # noqa: N815
    """The step that each row is at, int32; None where no row can be behind."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from a sparse gradient [V, C]."""
        table_VC, step_V = self._table, self._steps()  # laid down before the step counts: untouched rows miss it
        assert table_VC.grad is not None
        super().step()
        if not compiles(table_VC):
            row_L = table_VC.grad._indices()[0]
            step_V.index_copy_(0, row_L, self.state[table_VC]["step"].to(step_V).expand(len(row_L)))

    @torch.no_grad()
    def catch_up(self, row_L: Tensor) -> None:
        """Takes rows to the newest step."""
        state = self.state.get(self._table)
        if state:
            (self._catch_up_compiled if compiles(self._table) else self._catch_up)(row_L, state)

    def settle(self) -> bool:
        """Takes all rows to the newest step; whether any may have been behind."""
        if self._step_V is None:
            return False
        rows, columns = self._table.shape
        chunk_rows = max(1, SETTLED_ENTRIES // columns)
        for start in range(0, rows, chunk_rows):
            self.catch_up(torch.arange(start, min(start + chunk_rows, rows), device=self._step_V.device))
        self._step_V = None
        return True

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of a settled table."""
        super().load_state_dict(state_dict)
        self._step_V = None

    def _steps_noted(self) -> np.ndarray:
        """In the step that each row is at."""
        return self._steps().numpy()

    @property
    def _table(self) -> nn.Parameter:
        (table_VC,) = self.param_groups[0]["params"]
        assert isinstance(table_VC, nn.Parameter)
        return table_VC

    def _steps(self) -> Tensor:
        """The step that each row is at, int32 [V]."""
        if self._step_V is None:
            state = self.state.get(self._table)
            step = int(state["step"]) if state else 0
            self._step_V = torch.full((len(self._table),), step, dtype=torch.int32, device=self._table.device)
        return self._step_V

    def _catch_up(self, row_L: Tensor, state: dict[str, Tensor]) -> None:
        """By torch's operations."""
        table_VC, step_V, group = self._table, self._steps(), self.param_groups[0]
        (beta1, beta2), (_, shrink) = BETAS, decay_of(group)
        fade, ratio_fade = _fades(shrink)
        sum_S, ratio_S = _sums_on(table_VC.device, shrink)
        step, before_L = state["step"].to(step_V), step_V.index_select(0, row_L)
        start_L, end_1 = before_L.long().clamp(max=HORIZON), step.long().clamp(max=HORIZON).view(1)
        missed_L = (step - before_L).double()
        fade_L, square_fade_L, shrunk_L = beta1**missed_L, beta2**missed_L, shrink**missed_L
        sum_L = sum_S.index_select(0, start_L) - fade**missed_L * sum_S.index_select(0, end_1)
        ratio_L = ratio_S.index_select(0, start_L) - ratio_fade**missed_L * ratio_S.index_select(0, end_1)
        root_L = torch.where(missed_L > 0, sum_L / ratio_L, 1.0)
        size_L1, root_L1, fade_L1, square_fade_L1, shrunk_L1 = (
            each_L.to(table_VC.dtype)[:, None]
            for each_L in (group["lr"] * sum_L, root_L, fade_L, square_fade_L, shrunk_L)
        )
        weight_LC = table_VC.index_select(0, row_L)
        mean_LC, square_LC = (state[name].index_select(0, row_L) for name in ("exp_avg", "exp_avg_sq"))
        denominator_LC = square_LC.sqrt().mul_(root_L1).add_(group["eps"])
        weight_LC.sub_((size_L1 * mean_LC).div_(denominator_LC)).mul_(shrunk_L1)
        table_VC.index_copy_(0, row_L, weight_LC)
        state["exp_avg"].index_copy_(0, row_L, mean_LC.mul_(fade_L1))
        state["exp_avg_sq"].index_copy_(0, row_L, square_LC.mul_(square_fade_L1))
        step_V.index_copy_(0, row_L, step.expand(len(row_L)))

    def _catch_up_compiled(self, row_L: Tensor, state: dict[str, Tensor]) -> None:
        """By the kernel."""
        from recscale.kernels import missed_steps  # only here: an accelerator needs no numba

        group, moments = self.param_groups[0], (state["exp_avg"].numpy(), state["exp_avg_sq"].numpy())
        _, shrink = decay_of(group)
        late = missed_steps.LateRows(self._table.detach().numpy(), *moments, self._steps().numpy())
        rule = missed_steps.Rule(*missed_sums(shrink), *_fades(shrink), *BETAS, shrink, group["lr"], group["eps"])
        missed_steps.take(row_L.numpy(), late, rule, int(state["step"]))


def check_deferral(train: TrainSpec) -> None:
    """Refuses decoupled decay under which rows do not forget their momentum faster than they shrink."""
    decay = train.learning_rate * train.weight_decay
    deferred = train.table_optimizer is TableOptimizer.DEFERRED_ADAM
    if deferred and train.decay is Decay.DECOUPLED and not decay <= STRONGEST_DECAY:
        raise ConfigError(
            f"learning_rate * weight_decay is {decay:g} with decoupled decay, expected at most {STRONGEST_DECAY:g} for "
            f"table_optimizer deferred_adam; lower one of them, or use table_optimizer adam"
        )


def _fades(shrink: float) -> tuple[float, float]:
    """What a term of P, and one of Q, is multiplied by from one step to the next, but for corrections of bias."""
    beta1, beta2 = BETAS
    return beta1 / shrink, beta1 / shrink / beta2**0.5


@lru_cache(maxsize=4)
def missed_sums(shrink: float) -> tuple[np.ndarray, np.ndarray]:
    """P and Q to infinity from each step up to HORIZON on, float64, where weights shrink so at every step."""
    beta1, beta2 = BETAS
    step_S = np.arange(1, HORIZON + TERMS + 1, dtype=np.float64)
    term_S = 1 / (1 - beta1**step_S)
    fade, ratio_fade = _fades(shrink)
    return _to_infinity(fade, term_S), _to_infinity(ratio_fade, term_S * np.sqrt(1 - beta2**step_S))


def _to_infinity(fade: float, term_S: np.ndarray) -> np.ndarray:
    """Sum over j = 1..TERMS of fade^j term_(t+j), for every step t from 0 on."""
    return np.convolve(term_S, fade ** np.arange(TERMS, 0, -1), "valid")


@lru_cache(maxsize=4)
def _sums_on(device: torch.device, shrink: float) -> tuple[Tensor, Tensor]:
    """The sums on a device, where they stay: a step that is captured in a CUDA graph copies nothing from the host."""
    sum_S, ratio_S = missed_sums(shrink)
    return torch.from_numpy(sum_S).to(device), torch.from_numpy(ratio_S).to(device)
