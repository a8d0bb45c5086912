"""Whether a fall survives tuning, from seeds whose truth is known."""

import numpy as np
import pytest

from recscale.curves.curve import Observation
from recscale.curves.survival import survival_sentence
from recscale.curves.verdict import Better, Verdict, judge

NOISE = 1e-4


def _observations(change: float, seeds: int, offset: float) -> list[Observation]:
    rng = np.random.default_rng(3)
    return [
        Observation(scale, scale, 0.7 + offset + change * (scale > 1) + rng.normal(0, NOISE), f"{scale:g}-{seed}")
        for scale in (1.0, 4.0)
        for seed in range(seeds)
    ]


def _verdict(change: float, seeds: int = 5, gain: float = 0.003) -> Verdict:
    """Single-embedding changes by `change` from scale 1 to 4; multi-embedding stays `gain` above its base."""
    single, multi = _observations(change, seeds, 0.0), _observations(0.0, seeds, gain)
    return judge("dnn", metric="test_auc", better=Better.HIGHER, single=single, multi=multi)


@pytest.mark.parametrize(
    ("untuned", "tuned", "conclusion"),
    [
        (-0.002, -0.001, "the fall survives tuning."),
        (-0.002, 0.001, "the fall does not survive tuning, it turns into a rise."),
        (-0.002, 0.0, "the fall does not survive tuning beyond seed noise."),
        (0.001, -0.001, "only tuned is there a fall beyond seed noise."),
        (0.0, 0.001, "there is no fall beyond seed noise, untuned or tuned."),
    ],
)
def test_conclusions(untuned: float, tuned: float, conclusion: str) -> None:
    assert f": {conclusion} Untuned, " in survival_sentence(_verdict(untuned), _verdict(tuned))


def test_the_sentence_has_the_numbers_of_both() -> None:
    sentence = survival_sentence(_verdict(-0.002), _verdict(0.001))
    assert sentence.startswith("single-embedding test AUC untuned falls by 0.002")
    assert "from scale 1 to 4 (worse); tuned it rises by 0.00" in sentence
    assert "Untuned, multi-embedding is better by 0.00" in sentence
    assert sentence.endswith("test AUC at scale 4 (90% intervals over seeds).")


def test_one_seed_and_one_scale_say_nothing() -> None:
    assert "with one seed a fall cannot be told" in survival_sentence(_verdict(-0.002, seeds=1), _verdict(0.0))
    short = judge("dnn", metric="test_auc", better=Better.HIGHER, single=_observations(0.0, 2, 0.0)[:2])
    assert "nothing can be said about a fall" in survival_sentence(_verdict(-0.002), short)
