"""Best-of-n: how good is the response that a reward model picks out of n? (paper section 3.4, figure 5).

With N candidates per prompt, the mean over all subsets of n has a closed form: no draw of subsets adds noise, and every
n from 1 to N comes from the same candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.candidates import GOLD, Candidates
from normbt_lab.evaluation.intervals import LEVEL, RESAMPLES, SEED, Estimate

BEST = "gold itself"
"""The curve of whoever picks by the gold score: no proxy can be above it."""

LENGTH = "longer response"
"""The curve of whoever picks the response with more characters: what a proxy has to beat."""


@dataclass(frozen=True)
class Curve:
    """Mean gold score of the best of n by one proxy, for n = 1, 2, ... in order.

    Attributes:
        per_prompt: One row per prompt, shape (prompts, n).
        low: Lower end of the 95 % interval over prompts at each n, shape (n,).
        high: Upper end, same shape.
    """

    per_prompt: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over prompts, shape (n,)."""
        return self.per_prompt.mean(axis=0)

    @property
    def peak(self) -> int:
        """The n with the highest mean, the smallest where several have it."""
        return int(np.argmax(self.mean.round(12))) + 1  # means of equal scores differ in the last bits

    def at(self, n: int) -> Estimate:
        """Mean and interval at one n."""
        return Estimate(float(self.mean[n - 1]), float(self.low[n - 1]), float(self.high[n - 1]))


@dataclass(frozen=True)
class BestOfN:
    """Best-of-n of several proxies on the same candidates.

    Attributes:
        prompts: Number of prompts.
        largest: The last n of every curve.
        curves: Name of each proxy -> its curve.
        baselines: `BEST` and `LENGTH` -> their curves.
        layouts: Scores that were computed for this result, by name -> how, ``shared_prefix`` or ``padded``.
    """

    prompts: int
    largest: int
    curves: Mapping[str, Curve]
    baselines: Mapping[str, Curve]
    layouts: Mapping[str, str] = field(default_factory=dict)

    @property
    def n(self) -> list[int]:
        """1, 2, ..., `largest`."""
        return list(range(1, self.largest + 1))

    @property
    def kl(self) -> list[float]:
        """KL divergence of best-of-n from the policy at each n, nats."""
        return [kl_divergence(n) for n in self.n]

    def gain(self, name: str, over: str | None = None) -> Estimate:
        """Gold score that a proxy's best of `largest` has above that of another, or above one candidate at random.

        Prompts are resampled with both values, so what is hard for both cancels, as in `paired_difference`.

        Args:
            name: A proxy or baseline.
            over: Another; None for one candidate at random.
        """
        every = {**self.curves, **self.baselines}
        reference = every[name].per_prompt[:, 0] if over is None else every[over].per_prompt[:, -1]
        gains = every[name].per_prompt[:, -1] - reference
        low, high = _interval(gains[:, None])
        return Estimate(float(gains.mean()), float(low[0]), float(high[0]))

    def paired(self) -> dict[str, Estimate]:
        """``A minus B`` at `largest`: each further proxy against the first, and every proxy against length."""
        first, *others = self.curves
        versus = [(other, first) for other in others] + [(name, LENGTH) for name in self.curves]
        return {f"{name} minus {other}": self.gain(name, over=other) for name, other in versus}

    def drop(self, name: str) -> Estimate:
        """How far a proxy's curve has come down from its peak at the last n: over-optimisation.

        The interval takes the peak as given; since it was picked for being highest, a drop near 0 is no evidence.
        """
        curve = {**self.curves, **self.baselines}[name]
        drops = curve.per_prompt[:, curve.peak - 1] - curve.per_prompt[:, -1]
        low, high = _interval(drops[:, None])
        return Estimate(float(drops.mean()), float(low[0]), float(high[0]))

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON object, as ``normbt best-of-n --json`` prints it."""
        return {
            "prompts": self.prompts,
            "n": self.n,
            "kl": self.kl,
            "proxies": {name: self._curve_json(name, curve) for name, curve in self.curves.items()},
            "baselines": {name: self._curve_json(name, curve) for name, curve in self.baselines.items()},
            "paired": {name: estimate._asdict() for name, estimate in self.paired().items()},
            "layouts": dict(self.layouts),
        }

    def _curve_json(self, name: str, curve: Curve) -> dict[str, Any]:
        return {
            "gold": curve.mean.tolist(),
            "low": curve.low.tolist(),
            "high": curve.high.tolist(),
            "peak": curve.peak,
            "gain": self.gain(name)._asdict(),
            "drop": self.drop(name)._asdict(),
        }


def kl_divergence(n: int) -> float:
    """KL divergence of best-of-n from the policy that the candidates were drawn from, nats: ln n - (n - 1) / n.

    Exact where no two candidates score alike; with ties the true one is smaller. The paper's largest n, 402, stands
    for a KL of 5.

    Raises:
        UsageError: n is below 1.

    Example:
        >>> kl_divergence(1), round(kl_divergence(402), 3)
        (0.0, 4.999)
    """
    if n < 1:
        raise UsageError(f"best-of-n needs n of 1 or more, got {n}")
    return math.log(n) - (n - 1) / n


def expected_best_of_n(proxy: Sequence[float] | np.ndarray, gold: Sequence[float] | np.ndarray) -> np.ndarray:
    """Expected gold score of the best by proxy of n candidates drawn without replacement, for n = 1 to N.

    With the candidates in ascending order of the proxy, the r-th is the best of a subset of n in C(r-1, n-1) of the
    C(N, n) subsets: it is in, and the others come from the r-1 below it. Candidates with equal proxy scores share the
    pick equally. Since each subset of n independent draws is n independent draws, the mean over subsets is an unbiased
    estimate for best-of-n of the policy, with the least noise that these N candidates allow.

    Args:
        proxy: Proxy scores of one prompt's candidates, shape (candidates,).
        gold: Their gold scores, same shape.

    Returns:
        Expected gold scores, shape (candidates,); the first is the mean, the last the gold score of the proxy's best.

    Raises:
        ValueError: Shapes differ or are empty.

    Example:
        Of the three pairs among three candidates, the top one wins two, the middle one wins one.

        >>> expected_best_of_n(proxy=[1.0, 2.0, 3.0], gold=[0.0, 3.0, 6.0]).tolist()
        [3.0, 5.0, 6.0]
    """
    scores, truth = np.asarray(proxy, dtype=float), np.asarray(gold, dtype=float)
    if scores.shape != truth.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(f"expected two equal lists of scores, got shapes {scores.shape} and {truth.shape}")
    order = np.argsort(scores, kind="stable")
    _, tied, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    shared = (np.bincount(tied, weights=truth[order]) / counts)[tied]  # (candidates,), mean gold of those tied with it
    return _chance_to_be_best(len(scores)) @ shared


@lru_cache(maxsize=16)
def _chance_to_be_best(candidates: int) -> np.ndarray:
    """C(r-1, n-1) / C(N, n): chance that rank r is the best of n, shape (n, ranks); each row sums to 1.

    Binomials of a few hundred overflow, so it is built from C(r, n) / C(N, n) = (r / N) ((r-1) / (N-1)) ...
    """
    ranks = np.arange(1, candidates + 1)
    steps = np.arange(candidates)[:, None]
    below = np.cumprod(np.maximum(ranks - steps, 0) / (candidates - steps), axis=0)  # all n among the ranks up to r
    return below * (steps + 1) / ranks  # ... and r one of them: C(r-1, n-1) = C(r, n) n / r


def best_of_n(
    candidates: Sequence[Candidates], proxies: Sequence[str] | None = None, largest: int | None = None
) -> BestOfN:
    """Best-of-n curves of every proxy that the candidates were scored with.

    Args:
        candidates: One record per prompt, each with gold scores.
        proxies: Which scores; None for all but gold.
        largest: Last n; None for as many as every prompt has. Prompts with more candidates use all of theirs.

    Raises:
        NormBTError: No candidates, no gold scores, no proxy, or a proxy that some prompt lacks.
        UsageError: `largest` is more than the candidates of some prompt, or below 1.
    """
    names = _checked_proxies(candidates, proxies)
    available = min(len(found.responses) for found in candidates)
    if largest is not None and not 1 <= largest <= available:
        raise UsageError(f"best of {largest}, but the prompt with the fewest candidates has {available}: give 1 to it")
    limit = largest or available
    lengths = [np.array([_characters(text) for text in found.responses]) for found in candidates]

    def curve(scores: Sequence[np.ndarray]) -> Curve:
        rows = [
            expected_best_of_n(of_proxy, found.scores[GOLD])[:limit]
            for of_proxy, found in zip(scores, candidates, strict=True)
        ]
        per_prompt = np.stack(rows)
        return Curve(per_prompt, *_interval(per_prompt))

    return BestOfN(
        prompts=len(candidates),
        largest=limit,
        curves={name: curve([found.scores[name] for found in candidates]) for name in names},
        baselines={BEST: curve([found.scores[GOLD] for found in candidates]), LENGTH: curve(lengths)},
    )


def _checked_proxies(candidates: Sequence[Candidates], proxies: Sequence[str] | None) -> list[str]:
    if not candidates:
        raise NormBTError("best-of-n needs candidates, and there are none: is the file empty?")
    names = [name for name in candidates[0].scores if name != GOLD] if proxies is None else list(proxies)
    for name in (GOLD, *names):
        lacking = sum(name not in found.scores for found in candidates)
        if lacking:
            raise NormBTError(
                f"{lacking} of {len(candidates)} prompts have no scores called {name!r}: "
                "add that column, or score the candidates with a reward model"
            )
    if not names:
        raise NormBTError(
            "the candidates have gold scores and no proxy: name a reward model to score them with, "
            "or add a column of numbers for each proxy"
        )
    return names


def _characters(response: Any) -> int:
    return len(response) if isinstance(response, str) else sum(len(message["content"]) for message in response)


def _interval(per_prompt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the mean over prompts in each column, prompts drawn again with replacement.

    The draws are the same each time, so that curves over the same prompts compare.
    """
    prompts = len(per_prompt)
    generator = np.random.default_rng(SEED)
    drawn = generator.multinomial(prompts, np.full(prompts, 1 / prompts), size=RESAMPLES)  # (resamples, prompts)
    low, high = np.quantile(drawn @ per_prompt / prompts, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
