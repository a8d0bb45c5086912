"""Training losses as they come: their mean, and the first that is not finite."""

import torch

from recscale.errors import TrialError

LOSS_CHECK_STEPS = 64
"""Losses are looked at this often, and before every evaluation: one host synchronisation for that many steps."""


class LossWindow:
    """Training losses since the last evaluation, summed on the device, and a ring of the newest to check."""

    def __init__(self, device: torch.device) -> None:
        self._recent = torch.zeros(LOSS_CHECK_STEPS, device=device)
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self._unchecked = self._count = 0

    def add(self, loss: torch.Tensor, objective: torch.Tensor, step: int) -> None:
        """Adds the loss of optimizer step `step`; what was optimised, a penalty included, is what is checked."""
        self._recent[self._unchecked] = objective
        self._sum += loss
        self._unchecked, self._count = self._unchecked + 1, self._count + 1
        if self._unchecked == LOSS_CHECK_STEPS:
            self.check(step)

    def check(self, step: int) -> None:
        """Raises TrialError naming the first step since the last check whose loss is not finite."""
        finite = torch.isfinite(self._recent[: self._unchecked])
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0, 0])
            raise TrialError(
                f"training loss is {float(self._recent[first])} at step {step - self._unchecked + 1 + first}, "
                f"expected a finite number; lower the learning rate or train in fp32"
            )
        self._unchecked = 0

    def take_mean(self) -> float | None:
        """Mean loss since the last call; None where no step was done."""
        mean = float(self._sum) / self._count if self._count else None
        self._sum.zero_()
        self._count = 0
        return mean
