"""The instant form of a suite: a score head trained on representations that were computed once.

Under a frozen backbone h does not move, the head's gradient is the whole gradient, and eq. 6 is exact: a row of Table 2
takes a second instead of a training run. What this cannot show is what NormBT does to the backbone, which is the larger
part of the paper's claim; and three kinds of row mean something else here (`differs_from_training`).
Derived in ``notebooks/01_bradley_terry.ipynb``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.experiments.suite import Row, load_suite
from normbt_lab.objectives import OBJECTIVES, reward_centering
from normbt_lab.recipes import closest
from normbt_lab.representations import PairOutputs, in_float64
from normbt_lab.weights import WEIGHTINGS, RunningMean, pair_weights

INITIAL_SPREAD = 0.02
"""Standard deviation of a fresh head: transformers' default for a linear layer."""


@dataclass(frozen=True)
class HeadSettings:
    """How a head is trained. Names and defaults of the loss and the weights are `NormBTConfig`'s.

    Attributes:
        objective: Key of `OBJECTIVES`.
        weighting: ``uniform`` or a key of `WEIGHTINGS`; ``exact`` is ``normbt`` here, by eq. 6.
        label_smoothing: α of eq. 17.
        norm_alpha: Strength of the weight.
        norm_eps: Guard against distance 0.
        max_weight: Upper bound of a weight; None for none.
        ema_beta: Decay of the running mean; None for none.
        weight_norm: ``mean1``: weights average 1 in each batch.
        center_rewards_coefficient: Strength of the pull of rewards towards mean zero; None for none.
        max_grad_norm: Gradient clipping; 0 for none.
        head_layer_norm: A trained LayerNorm before the head.
        optim: ``sgd`` or ``adamw``.
        momentum: SGD's.
        learning_rate: Constant over the run.
        batch_size: Pairs per step; None for all of them.
        epochs: Passes over the pairs.
        seed: Seed of the head and of the order.
    """

    objective: str = "bradley_terry"
    weighting: str = "normbt"
    label_smoothing: float = 0.1
    norm_alpha: float = 1.0
    norm_eps: float = 1e-8
    max_weight: float | None = None
    ema_beta: float | None = 0.9
    weight_norm: str | None = None
    center_rewards_coefficient: float | None = None
    max_grad_norm: float = 0.0
    head_layer_norm: bool = False
    optim: str = "sgd"
    momentum: float = 0.0
    learning_rate: float = 1e-2
    batch_size: int | None = None
    epochs: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (
            ("objective", [*OBJECTIVES]),
            ("weighting", [*dict.fromkeys(["uniform", "exact", *WEIGHTINGS])]),
            ("optim", ["sgd", "adamw"]),
            ("weight_norm", [None, "mean1"]),
        ):
            value = getattr(self, name)
            if value not in known:
                listed = ", ".join(map(str, known))
                raise UsageError(f"{name} is one of {listed}; got {value!r}{closest(str(value), map(str, known))}")
        if self.epochs < 1 or (self.batch_size is not None and self.batch_size < 1):
            raise UsageError(f"epochs and batch_size are 1 or more; got {self.epochs} and {self.batch_size}")


@dataclass(frozen=True)
class HeadRun:
    """A trained score head.

    Attributes:
        settings: What it was trained with.
        head: The linear map, after a LayerNorm where the settings ask for one.
        history: One record per step, with the names that `NormBTTrainer` logs: ``loss``, ``grad_norm``, ``accuracy``,
            ``running_mean``, ``distance_mean``, ``weight_mean``, ``weight_max``, ``clip_rate``.
    """

    settings: HeadSettings
    head: nn.Sequential
    history: list[dict[str, float]]

    @property
    def weight(self) -> Tensor:
        """w_s, shape (hidden,)."""
        return _linear(self.head).weight.detach()[0]

    @torch.no_grad()
    def outputs(self, cached: PairOutputs) -> PairOutputs:
        """What this head says of pairs whose representations were cached, of the same backbone."""
        return _through_head(self.head, cached)

    def accuracy(self, cached: PairOutputs) -> float:
        """Share of pairs whose chosen side has the higher reward, a tie counted as wrong."""
        return (self.outputs(cached).reward_difference > 0).float().mean().item()


def train_head(
    outputs: PairOutputs,
    objective: str = "bradley_terry",
    weighting: str = "normbt",
    *,
    margin: Tensor | Sequence[float] | None = None,
    **settings: Any,
) -> HeadRun:
    """A score head trained on cached representations, in plain torch.

    Each step is the mean over its pairs of weight times loss (paper eq. 13), the running mean used first and then
    updated (decisions, point 5); the first batch sets it. All of it stays on the device of the representations.

    Args:
        outputs: From `represent_pairs`; only the representations are used.
        objective: Loss per pair, a key of `OBJECTIVES`.
        weighting: Weight per pair.
        margin: Margins, shape (pairs,), for the losses that need them.
        **settings: Others of `HeadSettings`.

    Raises:
        UsageError: Unknown settings, or margins or averages that a row needs and that are not there.
        NormBTError: The loss stops being finite.

    Example:
        >>> h_chosen, h_rejected = torch.eye(4), torch.zeros(4, 4)
        >>> cached = PairOutputs(torch.zeros(4), torch.zeros(4), h_chosen, h_rejected)
        >>> run = train_head(cached, weighting="uniform", learning_rate=1.0, epochs=5)
        >>> run.accuracy(cached)
        1.0
    """
    chosen = _settings(objective=objective, weighting=weighting, **settings)
    margins = None if margin is None else torch.as_tensor(margin, dtype=torch.float32, device=outputs.h_chosen.device)
    _require_inputs(chosen, outputs, margins)
    return _Training(chosen, outputs, margins).run()


def train_rows(
    outputs: PairOutputs,
    margin: Tensor | Sequence[float] | None = None,
    rows: Sequence[Row] | None = None,
    **settings: Any,
) -> dict[str, HeadRun]:
    """Every row of Table 2 as a score head: name -> run.

    Args:
        outputs: Cached representations, with averages for the row that needs them (`represent_pairs` with
            ``average_pool=True``).
        margin: Margins, shape (pairs,).
        rows: Rows of a suite; Table 2's sixteen by default (the paper's fifteen and NormBT with centring).
        **settings: Of `HeadSettings`, shared by all rows; what a row sets wins.
    """
    rows = load_suite("table2").rows if rows is None else rows
    return {row.name: train_head(outputs, margin=margin, **{**settings, **row.settings}) for row in rows}


def differs_from_training(settings: Mapping[str, Any]) -> str | None:
    """Why a row on cached representations is another thing than the same row trained end to end; None where only the
    frozen backbone is.

    Example:
        >>> differs_from_training({"weighting": "normbt"}) is None
        True
    """
    if settings.get("head_layer_norm"):
        return "the LayerNorm is trained with the head, so eq. 6 holds for the head's part of the gradient only"
    if settings.get("max_grad_norm"):
        return "the clipped norm is the head's, far below that of a whole model: the same threshold clips other steps"
    if settings.get("weighting") == "average_pool":
        return "averages of a frozen backbone are fixed: the weights are constants up to the running mean"
    return None


def head_gradient(outputs: PairOutputs, weights: Tensor, objective: str, margin: Tensor | None = None) -> Tensor:
    """Gradient of the mean weighted loss with respect to w_s, shape (hidden,), in closed form (paper eqs. 4 and 6).

        ∂L/∂w_s = mean over pairs of w · ∂ℓ/∂d · (h_w − h_l)

    Args:
        outputs: Pairs under the head at which the gradient is taken.
        weights: Weight per pair, shape (pairs,).
        objective: Key of `OBJECTIVES`.
        margin: Margins, shape (pairs,), where the loss needs them.

    Example:
        >>> cached = PairOutputs(torch.zeros(1), torch.zeros(1), torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        >>> head_gradient(cached, torch.ones(1), "bradley_terry").norm()  # error 1/2 times distance 5
        tensor(2.5000)
    """
    derivative = OBJECTIVES[objective].derivative(outputs.reward_difference, margin, HeadSettings.label_smoothing)
    pull = weights * derivative  # (pairs,)
    return (pull.unsqueeze(-1) * (outputs.h_chosen - outputs.h_rejected)).mean(dim=0)


def _settings(**settings: Any) -> HeadSettings:
    known = HeadSettings.__dataclass_fields__
    unknown = [name + closest(name, known) for name in settings if name not in known]
    if unknown:
        raise UsageError(f"a score head has no setting {', '.join(unknown)}")
    return HeadSettings(**settings)


def _require_inputs(settings: HeadSettings, outputs: PairOutputs, margin: Tensor | None) -> None:
    pairs = len(outputs.h_chosen)
    if OBJECTIVES[settings.objective].needs_margin and margin is None:
        raise UsageError(f"objective={settings.objective!r} needs a margin for each pair: pass margin=")
    if margin is not None and margin.shape != (pairs,):
        raise UsageError(f"expected one margin per pair, {pairs}; got {tuple(margin.shape)}")
    if settings.weighting == "average_pool" and outputs.average_chosen is None:
        raise UsageError(
            "weighting='average_pool' needs averaged representations: call represent_pairs(..., average_pool=True)"
        )
    if settings.weighting == "exact" and settings.head_layer_norm:
        raise UsageError("weighting='exact' is eq. 6, which is not the whole gradient once a LayerNorm trains too")


class _Training:
    """One run: the head, its optimizer, the running mean and the log."""

    def __init__(self, settings: HeadSettings, outputs: PairOutputs, margin: Tensor | None) -> None:
        self.settings = settings
        self.cached = outputs
        self.margin = margin
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.head = _fresh_head(outputs.h_chosen, settings, self.generator)
        self.optimizer = _optimizer(self.head, settings)
        self.weighting = "normbt" if settings.weighting == "exact" else settings.weighting
        self.running_mean = RunningMean.starting(settings.ema_beta)
        self.history: list[dict[str, float]] = []

    def run(self) -> HeadRun:
        for _ in range(self.settings.epochs):
            for members in self._batches():
                self._step(members)
        return HeadRun(self.settings, self.head, self.history)

    def _batches(self) -> Sequence[Tensor]:
        pairs = len(self.cached.h_chosen)
        if self.settings.batch_size is None or self.settings.batch_size >= pairs:
            return [torch.arange(pairs)]
        return torch.randperm(pairs, generator=self.generator).split(self.settings.batch_size)

    def _step(self, members: Tensor) -> None:
        outputs = _through_head(self.head, self.cached.take(members))
        weights, running_mean = self._weigh(outputs)
        loss = self._loss(outputs, weights, members)
        if not torch.isfinite(loss):
            raise NormBTError(
                f"the loss became {loss.item()} at step {len(self.history) + 1}: lower learning_rate "
                f"({self.settings.learning_rate:g}), or set max_grad_norm or max_weight"
            )
        self.optimizer.zero_grad()
        loss.backward()
        bound = self.settings.max_grad_norm
        norm = nn.utils.clip_grad_norm_(self.head.parameters(), bound or float("inf")).item()
        self.optimizer.step()
        self._log(outputs, weights, running_mean, loss.item(), norm)

    def _weigh(self, outputs: PairOutputs) -> tuple[Tensor, float]:
        """Weights of the batch, and the running mean that they used; uniform weights track it and use none."""
        measured = WEIGHTINGS["normbt" if self.weighting == "uniform" else self.weighting].quantity(outputs).detach()
        batch_mean = in_float64(measured).mean().item()
        if self.running_mean.value is None:
            self.running_mean.update(batch_mean)
        used = self.running_mean.value
        assert used is not None
        self.running_mean.update(batch_mean)
        if self.weighting == "uniform":
            return torch.ones_like(measured), used
        chosen = self.settings
        weights = pair_weights(measured, self.weighting, used, chosen.norm_alpha, chosen.norm_eps, chosen.max_weight)
        return (weights / weights.mean() if chosen.weight_norm == "mean1" else weights), used

    def _loss(self, outputs: PairOutputs, weights: Tensor, members: Tensor) -> Tensor:
        margin = None if self.margin is None else self.margin[members]
        objective = OBJECTIVES[self.settings.objective]
        loss = (weights * objective.loss(outputs.reward_difference, margin, self.settings.label_smoothing)).mean()
        if self.settings.center_rewards_coefficient is None:
            return loss
        centring = reward_centering(outputs.reward_chosen, outputs.reward_rejected).mean()
        return loss + self.settings.center_rewards_coefficient * centring

    def _log(self, outputs: PairOutputs, weights: Tensor, running_mean: float, loss: float, norm: float) -> None:
        record = {
            "step": len(self.history) + 1,
            "loss": loss,
            "grad_norm": norm,
            "accuracy": (outputs.reward_difference > 0).float().mean().item(),
            "running_mean": running_mean,
            "distance_mean": outputs.representation_distance.mean().item(),
            "weight_mean": weights.mean().item(),
            "weight_max": weights.max().item(),
        }
        if self.settings.max_grad_norm:
            record["clip_rate"] = float(norm > self.settings.max_grad_norm)
        self.history.append(record)


def _fresh_head(h: Tensor, settings: HeadSettings, generator: torch.Generator) -> nn.Sequential:
    linear = nn.Linear(h.shape[-1], 1, bias=False, dtype=h.dtype)
    with torch.no_grad():
        linear.weight.copy_(INITIAL_SPREAD * torch.randn(linear.weight.shape, generator=generator))
    layers = [nn.LayerNorm(h.shape[-1], dtype=h.dtype), linear] if settings.head_layer_norm else [linear]
    return nn.Sequential(*layers).to(h.device)


def _optimizer(head: nn.Module, settings: HeadSettings) -> torch.optim.Optimizer:
    if settings.optim == "adamw":
        return torch.optim.AdamW(head.parameters(), settings.learning_rate, weight_decay=0.0)
    return torch.optim.SGD(head.parameters(), settings.learning_rate, momentum=settings.momentum)


def _linear(head: nn.Sequential) -> nn.Linear:
    linear = head[-1]
    assert isinstance(linear, nn.Linear)
    return linear


def _through_head(head: nn.Sequential, cached: PairOutputs) -> PairOutputs:
    """Rewards of the head; h is what enters its linear map, after a LayerNorm where there is one."""
    before = head[:-1]
    h_chosen, h_rejected = before(cached.h_chosen), before(cached.h_rejected)
    linear = _linear(head)
    return replace(
        cached,
        reward_chosen=linear(h_chosen).squeeze(-1),
        reward_rejected=linear(h_rejected).squeeze(-1),
        h_chosen=h_chosen,
        h_rejected=h_rejected,
    )
