"""Whether a fall over scales survives tuning: a family's verdict untuned and tuned, in one sentence."""

from recscale.curves.differences import Difference, Trend
from recscale.curves.verdict import Verdict, change_words, gain_words, spoken


def survival_sentence(untuned: Verdict, tuned: Verdict) -> str:
    """What single-embedding does over the scales untuned and tuned, what follows, and what multi-embedding gains."""
    metric, better = untuned.metric, untuned.better
    falls = [
        change_words(f"single-embedding {spoken(metric)} untuned", untuned.se_change, better, None),
        change_words("tuned it", tuned.se_change, better, None),
    ]
    gains = [
        f"Untuned, {gain_words(metric, untuned.me_gain, better)}",
        f"tuned, {gain_words(metric, tuned.me_gain, better)} ({untuned.level:.0%} intervals over seeds).",
    ]
    return f"{'; '.join(falls)}: {survival(untuned.se_change, tuned.se_change)}. {'; '.join(gains)}"


def survival(untuned: Difference | None, tuned: Difference | None) -> str:
    """What becomes of a fall of the largest scale against the smallest, of a metric where higher is better."""
    if untuned is None or tuned is None:
        return "nothing can be said about a fall before both have two scales"
    if Trend.ONE_SEED in (untuned.trend, tuned.trend):
        return "with one seed a fall cannot be told from seed noise; add seeds"
    if untuned.trend is Trend.FALLS:
        return {
            Trend.FALLS: "the fall survives tuning",
            Trend.RISES: "the fall does not survive tuning, it turns into a rise",
        }.get(tuned.trend, "the fall does not survive tuning beyond seed noise")
    if tuned.trend is Trend.FALLS:
        return "only tuned is there a fall beyond seed noise"
    return "there is no fall beyond seed noise, untuned or tuned"
