"""Times a five-parameter fit of 250 points with 1,000 bootstrap replicates: python tests/benchmarks/curve_fits.py

Prints seconds of wall and of CPU per repeat. The points are a two-variable power law with 1 % log-normal noise.
"""

import os
import time

import numpy as np

from recscale.curves.bootstrap import resample
from recscale.curves.fitting import fit
from recscale.curves.laws import TWO_VARIABLE_POWER_LAW
from recscale.curves.losses import GAUSSIAN, Loss, LossKind, Space

POINTS, REPLICATES, REPEATS = 250, 1000, 5
LOSSES = {"gaussian": GAUSSIAN, "huber of the logarithm": Loss(LossKind.HUBER, 1e-3, Space.LOG)}


def points(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions [2, POINTS] and values."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), POINTS))
    tokens = np.exp(rng.uniform(np.log(1e9), np.log(3e11), POINTS))
    loss = 1.8172 + 482.01 * params**-0.3478 + 2085.43 * tokens**-0.3658
    return np.stack([params, tokens]), loss * np.exp(rng.normal(0, 0.01, POINTS))


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, loss in LOSSES.items():
        for repeat in range(REPEATS):
            x, y = points(repeat)
            wall, cpu = time.perf_counter(), time.process_time()
            fitted = fit(TWO_VARIABLE_POWER_LAW, x, y, None, loss)
            resample(fitted, x, y, replicates=REPLICATES)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"{name}: {wall:.1f} s wall, {cpu:.1f} s CPU, converged {fitted.converged}")


if __name__ == "__main__":
    main()
