"""A search as text: what it will try, and what it chose."""

from collections.abc import Sequence

from recscale.study.ledger import Ledger, Sample
from recscale.study.plan import Plan
from recscale.study.plan_text import time_text

HEADER = (
    f"{'search':12} {'family':12} {'scale':>5} {'sets':>4} {'samples':>7} {'done':>5} {'seconds each':>12}"
    f" {'at once':>7}  each holds"
)


def search_text(ledgers: Sequence[Ledger], plan: Plan, held: Sequence[str], at_once: Sequence[int]) -> str:
    """One line per cell, then the totals; times are those of samples that nothing stops early.

    `held` and `at_once` say what a cell's samples hold each, and how many of them run at a time.
    """
    lines, left = [HEADER], 0.0
    for ledger, planned, share, slots in zip(ledgers, plan.trials, held, at_once, strict=True):
        cell, model = ledger.cell, ledger.cell.spec.model
        missing = len(ledger.missing())
        left += missing * planned.seconds / slots
        lines.append(
            f"{cell.cell_id:12} {model.family[-12:]:12} {model.scale:5g} {model.num_sets:4} {cell.options.samples:7} "
            f"{cell.options.samples - missing:5} {planned.seconds:12.0f} {slots:7}  {share}"
        )
    lines += [f"refused: {refusal.reason}" for refusal in plan.refused]
    samples = sum(ledger.cell.options.samples for ledger in ledgers)
    done = samples - sum(len(ledger.missing()) for ledger in ledgers)
    lines.append(f"{len(ledgers)} cells to tune, {samples} samples, {done} done; at most about {time_text(left)} left")
    return "\n".join(lines)


def winners_text(ledgers: Sequence[Ledger]) -> str:
    """One line per cell: the settings that won, and by how much; or why there are none."""
    return "\n".join(f"{ledger.cell.name}: {_winner_text(ledger)}" for ledger in ledgers)


def _winner_text(ledger: Ledger) -> str:
    samples, winner = ledger.samples(), ledger.winner()
    if winner is None:
        errors = [sample.error for sample in samples if sample.error]
        last = errors[-1].strip().splitlines()[-1] if errors else "none was run"
        return f"none of {len(samples)} samples finished: {last}"
    values = ", ".join(f"{name} {value:.3g}" for name, value in vars(winner.point).items())
    return f"{values}; valid AUC {winner.valid_auc:.5f}{_gain_text(winner, samples[0])}"


def _gain_text(winner: Sample, untuned: Sample) -> str:
    if winner == untuned:
        return ", the untuned settings themselves"
    return f", untuned {untuned.valid_auc:.5f}" if untuned.valid_auc is not None else ""
