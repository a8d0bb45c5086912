"""Dense Adam on a table at the cost of the rows that a batch touches: rows take the steps without a gradient late.

Under Adam a row moves on by its momentum when it has no gradient, and by how much is known beforehand. A row that had
moments m and v after step t has moved, k steps without a gradient later, by lr times

    sum over j = 1..k of  c_j m / (s_j sqrt(v) + eps),  c_j = b1^j / (1 - b1^(t+j)),  s_j = sqrt(b2^j / (1 - b2^(t+j)))

(Kingma and Ba 2015, with betas b1 and b2). It takes these steps at once when it is next needed, with the sum written as
C m / (sqrt(v) C / R + eps), C = sum of c_j, R = sum of c_j / s_j. That is exact for eps = 0 and for v = 0. Between the
two it is off by as much as s_j differ over the ten or so steps that count: where sqrt(v) is of the size of eps, at most
5e-4 of the sum from step 100 on, 2e-5 from step 1,000 on. C and R are differences of sums to infinity, which are laid
down once: from t on, less the same from t + k on times b1^k.

Decoupled decay shrinks weights by d at every step: C and R then are those of b1 / d, and all is shrunk by d^k. L2 in
the gradient would be a gradient; it is of touched rows only, as with other optimizers of touched rows.

Legend: V table rows, L looked-up rows of a batch, duplicates included, C columns of a row.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recscale.models.tables import compiles
from recscale.records import Decay
from recscale.training.row_optimizers import LazyAdam, decay_of

HORIZON = 50_000
"""Steps from which on bias corrections are 1 in float64."""
TERMS = 500
"""Steps without a gradient that count: 0.9^500 is 1e-23."""
SETTLED_ROWS = 2**20
"""Rows of a table that catch up at a time where all have to."""


class DeferredAdam(LazyAdam):
    """Adam (AdamW where decoupled) of one table whose rows are as they were when they were last needed.

    Rows have to `catch_up` before they are looked up and before a step with a gradient of them; the table has to
    `settle` before it is read as a whole, and before `state_dict`, which holds no step of single rows.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        weight_decay: float,
        decay: Decay = Decay.COUPLED,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, learning_rate, weight_decay, decay, betas, eps)
        self._step_V: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from a sparse gradient [V, C]."""
        table_VC, step_V = self._table, self._steps()
        assert table_VC.grad is not None
        super().step()
        row_L = table_VC.grad._indices()[0]
        step_V.index_copy_(0, row_L, self.state[table_VC]["step"].to(step_V).expand(len(row_L)))

    @torch.no_grad()
    def catch_up(self, row_L: Tensor) -> None:
        """Takes rows, of any shape, to the newest step."""
        state = self.state.get(self._table)
        if state:
            (self._catch_up_compiled if compiles(self._table) else self._catch_up)(row_L.reshape(-1), state)

    def settle(self) -> None:
        """Takes all rows to the newest step."""
        if self._step_V is None:
            return
        rows = len(self._step_V)
        for start in range(0, rows, SETTLED_ROWS):
            self.catch_up(torch.arange(start, min(start + SETTLED_ROWS, rows), device=self._step_V.device))
        self._step_V = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of a settled table."""
        super().load_state_dict(state_dict)
        self._step_V = None

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
        (beta1, beta2), (_, shrink) = group["betas"], decay_of(group)
        sum_S, ratio_S = sums_on(table_VC.device, beta1, beta2, shrink)
        step, before_L = state["step"].to(step_V), step_V.index_select(0, row_L)
        start_L, end = before_L.long().clamp(max=HORIZON), step.long().clamp(max=HORIZON)
        missed_L = (step - before_L).double()
        fade_L, square_fade_L, shrunk_L = beta1**missed_L, beta2**missed_L, shrink**missed_L
        sum_L = sum_S[start_L] - fade_L / shrunk_L * sum_S[end]
        ratio_L = ratio_S[start_L] - fade_L / shrunk_L / square_fade_L.sqrt() * ratio_S[end]
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
        (beta1, beta2), (_, shrink) = group["betas"], decay_of(group)
        rows = missed_steps.Rows(self._table.detach().numpy(), *moments, self._steps().numpy())
        rule = missed_steps.Rule(*missed_sums(beta1, beta2, shrink), beta1, beta2, shrink, group["lr"], group["eps"])
        missed_steps.take(row_L.numpy(), rows, rule, int(state["step"]))


@lru_cache
def sums_on(device: torch.device, beta1: float, beta2: float, shrink: float) -> tuple[Tensor, Tensor]:
    """The sums on a device, where they stay: a step that is captured in a CUDA graph copies nothing from the host."""
    sum_S, ratio_S = missed_sums(beta1, beta2, shrink)
    return torch.from_numpy(sum_S).to(device), torch.from_numpy(ratio_S).to(device)


@lru_cache
def missed_sums(beta1: float, beta2: float, shrink: float) -> tuple[np.ndarray, np.ndarray]:
    """C and R to infinity from each step up to HORIZON on, float64, where weights shrink so at every step."""
    step = np.arange(1, HORIZON + TERMS + 1, dtype=np.float64)
    term = 1 / (1 - beta1**step)
    ratio_term = term * np.sqrt(1 - beta2**step)
    fade = beta1 / shrink
    return _to_infinity(fade, term), _to_infinity(fade / beta2**0.5, ratio_term)


def _to_infinity(fade: float, term_S: np.ndarray) -> np.ndarray:
    """Sum over j = 1..TERMS of fade^j term_(t+j), for every step t from 0 on."""
    return np.convolve(term_S, fade ** np.arange(TERMS, 0, -1), "valid")
