"""From a batch of pairs to rewards, representations and the distance between them.

`PairOutputs` is all that the weights, the objectives and the gradients need to know of the model.
Derived in ``notebooks/01_bradley_terry.ipynb``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from normbt_lab.data.batches import PairBatch


@dataclass(frozen=True)
class PairOutputs:
    """What the model says of a batch of pairs, float32; for a float64 model float64, averages aside.

    Attributes:
        reward_chosen: Rewards of the chosen responses, log-odds (nats), shape (pairs,).
        reward_rejected: Rewards of the rejected responses, same shape.
        h_chosen: Representations that enter the score head, shape (pairs, hidden).
        h_rejected: The same for the rejected responses.
        average_chosen: Representations averaged over the sequence, shape (pairs, hidden); None unless asked for.
        average_rejected: The same for the rejected responses.
        gradient_distance: ‖∇_θ(r_w − r_l)‖, shape (pairs,); None unless it was measured (`gradient_norms`).
    """

    reward_chosen: Tensor
    reward_rejected: Tensor
    h_chosen: Tensor
    h_rejected: Tensor
    average_chosen: Tensor | None = None
    average_rejected: Tensor | None = None
    gradient_distance: Tensor | None = None

    @property
    def reward_difference(self) -> Tensor:
        """d = r_w - r_l, shape (pairs,)."""
        return self.reward_chosen - self.reward_rejected

    @property
    def prediction_error(self) -> Tensor:
        """1 - sigmoid(d), the first factor of the Bradley-Terry gradient (paper eq. 2), shape (pairs,)."""
        return torch.sigmoid(-self.reward_difference)

    @property
    def representation_distance(self) -> Tensor:
        """‖h_w - h_l‖₂, the second factor (paper eq. 6), shape (pairs,)."""
        return representation_distance(self.h_chosen, self.h_rejected)

    def take(self, numbers: Sequence[int] | Tensor) -> PairOutputs:
        """Some of the pairs, in this order.

        Example:
            >>> outputs = PairOutputs(torch.tensor([1.0, 2.0]), torch.zeros(2), torch.eye(2), torch.eye(2))
            >>> outputs.take([1]).reward_chosen
            tensor([2.])
        """
        wanted = torch.as_tensor(numbers, dtype=torch.long)
        return self.mapped(lambda column: column[wanted])

    def detach(self) -> PairOutputs:
        """The same outputs without gradients."""
        return self.mapped(Tensor.detach)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> PairOutputs:
        """The outputs with every tensor that is there replaced by what `change` makes of it."""
        return replace(self, **{name: change(value) for name, value in vars(self).items() if value is not None})

    @classmethod
    def joined(cls, parts: Sequence[PairOutputs]) -> PairOutputs:
        """The pairs of several batches as one, in their order; each part holds what the first one does."""
        names = [name for name, value in vars(parts[0]).items() if value is not None]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def representation_distance(h_chosen: Tensor, h_rejected: Tensor) -> Tensor:
    """Distance between the two representations of each pair.

    It is the second factor of the per-pair gradient at the score head (paper eq. 6):

        ‖∂L/∂w_s‖ = (1 − σ(d)) · ‖h_w − h_l‖₂

    Args:
        h_chosen: Representations of the chosen responses, shape (pairs, hidden).
        h_rejected: Representations of the rejected responses, same shape.

    Returns:
        Distances ≥ 0, shape (pairs,), float32 (float64 for float64 inputs), in the units of the hidden state.

    Raises:
        ValueError: The two shapes differ; the message shows both.

    Example:
        >>> representation_distance(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        tensor([5.])
    """
    if h_chosen.shape != h_rejected.shape:
        raise ValueError(f"expected one shape, got {tuple(h_chosen.shape)} and {tuple(h_rejected.shape)}: two batches?")
    # Up to float32 before subtracting: bfloat16 has 8 significant bits, and near-identical pairs would read as 0.
    difference = at_least_float32(h_chosen) - at_least_float32(h_rejected)
    # The squares leave float32 where the distance does not: they are 0 below 1e-23 and infinite above 1e19.
    return in_float64(difference).norm(dim=-1).to(difference.dtype)


def score_head(model: nn.Module) -> nn.Linear:
    """The linear map from representation to reward that the forward pass really uses (paper eq. 3).

    PEFT keeps two copies of a head that it trains, the original and its own, and calls the latter; a LayerNorm may
    stand before the map (an ablation of Table 2).

    Raises:
        ValueError: The model has no module called ``score``: not a sequence classifier.
    """
    named = [module for name, module in model.named_modules() if name.split(".")[-1] == "score"]
    if not named:
        raise ValueError(
            f"{type(model).__name__} has no module called 'score': "
            "load it with AutoModelForSequenceClassification and num_labels=1"
        )
    head = named[0]
    if hasattr(head, "modules_to_save") and not head.disable_adapters:
        head = head.modules_to_save[head.active_adapters[0]]
    head = getattr(head, "original_module", head)
    return head[-1] if isinstance(head, nn.Sequential) else head  # type: ignore[return-value]


def pad_token_id(model: Any) -> int:
    """The pad id by which the model finds the token it pools at."""
    return model.config.get_text_config().pad_token_id


@dataclass
class TappedStates:
    """What passed through the score head in one forward pass: its input and its output at every token."""

    hidden: Tensor | None = None  # (rows, tokens, hidden)
    scores: Tensor | None = None  # (rows, tokens, 1)


@contextmanager
def tapped_score_head(model: nn.Module) -> Iterator[TappedStates]:
    """Record what enters and leaves the score head, and compute the head in float32 whatever the backbone runs in.

    Rewards in bfloat16 tie: near 4 they lie 1/32 apart. The head is one dot product per token, so float32 costs
    nothing. In a float32 model this is the stock computation to the bit.
    """
    tapped = TappedStates()
    head = score_head(model)

    def forward(hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            bias = None if head.bias is None else at_least_float32(head.bias)
            tapped.hidden = hidden
            tapped.scores = nn.functional.linear(at_least_float32(hidden), at_least_float32(head.weight), bias)
        return tapped.scores

    head.forward = forward  # type: ignore[method-assign, assignment]
    try:
        yield tapped
    finally:
        del head.forward  # the class's own forward shows again


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Passes inside are those of evaluation; each module has its own mode again after them, not all that of the model.

    Example:
        >>> model = nn.Sequential(nn.Dropout(), nn.Dropout()).train()
        >>> _ = model[0].eval()
        >>> with evaluation_mode(model):
        ...     model[1].training
        False
        >>> model[0].training, model[1].training
        (False, True)
    """
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in was_training.items():
            module.training = training


def pair_outputs(model: nn.Module, batch: PairBatch, average_pool: bool = False) -> PairOutputs:
    """Rewards and representations of a batch of pairs, from one forward pass.

    h is what enters the score head at the model's own pooled token, so that eq. 6 is exact.

    Args:
        model: A sequence classifier with one label, plain or wrapped by PEFT.
        batch: Pairs on the model's device.
        average_pool: Also return representations averaged over the sequence.

    Returns:
        Rewards and representations, float32 (float64 for a float64 model), with gradients where grad is enabled.
    """
    with tapped_score_head(model) as tapped:
        model(**batch.model_inputs())
    return outputs_from_tap(tapped, batch, average_pool)


def outputs_from_tap(tapped: TappedStates, batch: PairBatch, average_pool: bool = False) -> PairOutputs:
    """Rewards and representations at the pooled tokens, from what the score head saw in a forward pass."""
    if tapped.hidden is None or tapped.scores is None:
        raise ValueError("the forward pass did not reach the score head")
    reward_chosen, reward_rejected = batch.pool(tapped.scores.squeeze(-1))
    h_chosen, h_rejected = batch.pool(tapped.hidden)
    averages: dict[str, Any] = {}
    if average_pool:
        averages["average_chosen"], averages["average_rejected"] = batch.average_pool(tapped.hidden)
    return PairOutputs(
        reward_chosen, reward_rejected, at_least_float32(h_chosen), at_least_float32(h_rejected), **averages
    )


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32, or as it is in float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def in_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64; in float32 at least on Apple's GPUs, which have no float64."""
    return at_least_float32(tensor) if tensor.device.type == "mps" else tensor.double()
