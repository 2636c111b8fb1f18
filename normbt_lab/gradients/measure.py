"""From pairs to measured pairs: scored, with the exact gradient of each, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.rejects import RejectLog
from normbt_lab.gradients.exact import GradientNorms, gradient_groups, squared_norms
from normbt_lab.gradients.measured_pair import MeasuredPair
from normbt_lab.gradients.recording import recorded_calls
from normbt_lab.gradients.sketch import GradientSketch
from normbt_lab.layouts import Layout
from normbt_lab.pair_bar import pair_bar
from normbt_lab.representations import pair_outputs
from normbt_lab.scoring.batching import ReadyPair, batch_of, batches_of_like_length, layout_for, ready_pairs
from normbt_lab.scoring.score import WeightRule, longest_sequence, records, weight_rule

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel


def measure_pairs(
    reward_model: RewardModel,
    pairs: Sequence[PreferencePair],
    *,
    batch_size: int = 4,
    max_length: int | None = None,
    sketch_size: int = 512,
    layout: str = "auto",
    rejects: RejectLog | None = None,
    progress: bool = False,
) -> list[MeasuredPair]:
    """Each pair with its scores and the exact gradient of its reward difference, in the order they came.

    It takes about as long as one training step per batch. What counts are the parameters that require a gradient.

    Args:
        reward_model: From `load_reward_model`, or made by hand.
        pairs: Pairs as text.
        batch_size: Most pairs in one pass; a pass needs the memory of a training step.
        max_length: Most tokens of a response with its prompt, cut on the right; None as in `score_pairs`.
        sketch_size: Length of the sketches behind `MeasuredPair.alignment`; 0 to leave it out.
        layout: ``auto`` computes what both responses share once, where a check shows that the model honours it;
            ``padded`` computes each response by itself.
        rejects: Where pairs that cannot be tokenised are counted.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: A reward or distance is not a finite number.
        UsageError: Nothing in the model requires a gradient.
    """
    rule = weight_rule(reward_model.state)
    longest = longest_sequence(reward_model, max_length)
    ready = list(ready_pairs(reward_model, pairs, longest, rejects or RejectLog()))
    sketch = GradientSketch(sketch_size) if sketch_size else None
    if not ready:
        return []
    chosen = layout_for(reward_model, ready, layout)
    measured: dict[int, MeasuredPair] = {}
    sketches: dict[int, Tensor] = {}
    with pair_bar("Measuring", ready, shown=progress) as bar:
        for batch in batches_of_like_length(ready, batch_size, chosen):
            found, batch_sketches = _measure_batch(reward_model, batch, chosen, rule, sketch)
            measured |= {pair.scored.index: pair for pair in found}
            if batch_sketches is not None:
                sketches |= {item.index: row for item, row in zip(batch, batch_sketches, strict=True)}
            bar.update(len(batch))
    in_order = [measured[index] for index in sorted(measured)]
    if not sketches:
        return in_order
    return _with_alignment(in_order, torch.stack([sketches[index] for index in sorted(sketches)]))


def _measure_batch(
    reward_model: RewardModel,
    batch: list[ReadyPair],
    layout: Layout,
    rule: WeightRule | None,
    sketch: GradientSketch | None,
) -> tuple[list[MeasuredPair], Tensor | None]:
    tensors = batch_of(reward_model, batch, layout)
    with torch.enable_grad(), recorded_calls(reward_model.model) as calls:
        outputs = pair_outputs(reward_model.model, tensors)
    squared: dict[str, Tensor] = {}
    sketches = []
    for group in gradient_groups(reward_model.model, tensors, outputs, calls):
        squared |= squared_norms(group)
        if sketch is not None:
            sketches.append(sketch(group).cpu())
    norms = GradientNorms.in_model_order(outputs, squared, reward_model.model)
    return _records(records(batch, norms.outputs, rule), norms), torch.stack(sketches).sum(dim=0) if sketches else None


def _records(scored: Sequence, norms: GradientNorms) -> list[MeasuredPair]:
    distances = norms.gradient_distance.tolist()
    by_layer = {name: values.tolist() for name, values in norms.by_layer().items()}
    by_module = {name: values.tolist() for name, values in norms.by_module().items()}
    return [
        MeasuredPair(
            record,
            distances[i],
            {name: values[i] for name, values in by_layer.items()},
            {name: values[i] for name, values in by_module.items()},
        )
        for i, record in enumerate(scored)
    ]


def _with_alignment(measured: Sequence[MeasuredPair], sketches: Tensor) -> list[MeasuredPair]:
    """Cosine of each pair's gradient with the summed Bradley-Terry gradients of the others."""
    errors = torch.tensor([pair.scored.prediction_error for pair in measured])
    pulls = sketches * errors[:, None]  # (pairs, size)
    others = pulls.sum(dim=0) - pulls
    cosines = torch.cosine_similarity(sketches, others, dim=1).tolist()
    return [
        MeasuredPair(pair.scored, pair.gradient_distance, pair.by_layer, pair.by_module, cosine)
        for pair, cosine in zip(measured, cosines, strict=True)
    ]
