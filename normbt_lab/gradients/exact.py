"""The exact gradient of every pair's reward difference, from one backward pass for the whole batch.

The Bradley-Terry gradient of a pair is −(prediction error) times this gradient (paper eq. 2); its norm is what the
paper calls the full representation distance. Derived in ``notebooks/02_gradient_decomposition.ipynb``.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from normbt_lab.data.batches import PairBatch
from normbt_lab.errors import UsageError
from normbt_lab.gradients.forms import (
    Dense,
    OuterProducts,
    ParameterGradients,
    combined,
    squared_norms_of_group,
)
from normbt_lab.gradients.pair_slots import PairSlots
from normbt_lab.gradients.places import place_of
from normbt_lab.gradients.recording import recorded_calls, uses_of_parameters
from normbt_lab.gradients.rules import Call, Rule, rule_for
from normbt_lab.representations import PairOutputs, pair_outputs

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GradientNorms:
    """Norms of ∇_θ(r_w − r_l) of each pair, whole and by place.

    Attributes:
        outputs: Rewards and representations of the same forward pass, without gradients.
        squared: Squared norm with respect to each trained parameter: name -> shape (pairs,), at least float32.
    """

    outputs: PairOutputs
    squared: dict[str, Tensor]

    @classmethod
    def in_model_order(cls, outputs: PairOutputs, squared: dict[str, Tensor], model: nn.Module) -> GradientNorms:
        """The norms with their parameters in the order of the model, whatever order they were found in."""
        return cls(outputs.detach(), _in_model_order(squared, model))

    @property
    def gradient_distance(self) -> Tensor:
        """‖∇_θ(r_w − r_l)‖ over all trained parameters, shape (pairs,)."""
        return torch.stack(list(self.squared.values())).sum(dim=0).clamp(min=0).sqrt()

    def by_layer(self) -> dict[str, Tensor]:
        """The norm by layer, in model order (``embedding``, ``layer 0``, ..., ``score head``), each (pairs,)."""
        return self._grouped([place_of(name).layer for name in self.squared])

    def by_module(self) -> dict[str, Tensor]:
        """The norm by kind of module: ``q_proj``, ``norm``, ``score``, each (pairs,)."""
        return self._grouped([place_of(name).module for name in self.squared])

    def _grouped(self, groups: Sequence[str]) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        for group, squared in zip(groups, self.squared.values(), strict=True):
            sums[group] = sums.get(group, torch.zeros_like(squared)) + squared
        return {group: squared.clamp(min=0).sqrt() for group, squared in sums.items()}


@dataclass(frozen=True, eq=False)
class PairGradients:
    """The gradients of a batch of pairs in factored form: norms, inner products and weighted sums on demand.

    Attributes:
        outputs: Rewards and representations of the same forward pass, without gradients.
        parameters: Name of each trained parameter -> its gradients.
    """

    outputs: PairOutputs
    parameters: dict[str, ParameterGradients]

    @cached_property
    def norms(self) -> GradientNorms:
        """Norms of each pair's gradient."""
        return GradientNorms(self.outputs, squared_norms(list(self.parameters.items())))

    @torch.no_grad()
    def inner_products(self) -> Tensor:
        """⟨g_i, g_j⟩ of all pairs of this batch, shape (pairs, pairs): positive where two pull in one direction.

        One parameter at a time is written out for all pairs; for many pairs use `sketch`.
        """
        pairs = len(self.outputs.reward_chosen)
        total = self.outputs.h_chosen.new_zeros(pairs, pairs)
        for gradients in self.parameters.values():
            rows = torch.stack([gradients.of_pair(i).flatten() for i in range(pairs)]).to(total.dtype)
            total += rows @ rows.T
        return total

    @torch.no_grad()
    def weighted_sum(self, coefficients: Tensor) -> dict[str, Tensor]:
        """Σ c_i g_i for each parameter: with c = weight x ∂L/∂d the gradient of the weighted loss.

        Args:
            coefficients: One factor per pair, shape (pairs,).
        """
        return {name: gradients.weighted_sum(coefficients) for name, gradients in self.parameters.items()}


def gradient_norms(model: nn.Module, batch: PairBatch) -> GradientNorms:
    """Norms of the exact gradient of every pair, from one forward and one backward pass.

    About as dear as a training step for the whole batch. Gradients are not kept and ``.grad`` is not touched.

    Args:
        model: A sequence classifier with one label, plain or wrapped by PEFT, in evaluation mode. What counts are the
            parameters that require a gradient.
        batch: Pairs on the model's device.

    Raises:
        UsageError: Nothing in the model requires a gradient.

    Example:
        >>> from normbt_lab.backbones import resolve_backbone
        >>> from normbt_lab.data.batches import collate_pairs
        >>> from normbt_lab.model import build_reward_model
        >>> model = build_reward_model(resolve_backbone("tiny-random")).eval()
        >>> norms = gradient_norms(model, collate_pairs([([5, 6, 7], [5, 8])], pad_token_id=0))
        >>> bool(norms.gradient_distance > norms.outputs.representation_distance)
        True
    """
    with torch.enable_grad(), recorded_calls(model) as calls:
        outputs = pair_outputs(model, batch)
    squared: dict[str, Tensor] = {}
    for group in gradient_groups(model, batch, outputs, calls):
        squared |= squared_norms(group)
    return GradientNorms.in_model_order(outputs, squared, model)


def pair_gradients(model: nn.Module, batch: PairBatch) -> PairGradients:
    """The exact gradients of every pair, kept in factored form; memory as for one training step and a half.

    Args:
        model: See `gradient_norms`.
        batch: Pairs on the model's device.

    Raises:
        UsageError: Nothing in the model requires a gradient.
    """
    with torch.enable_grad(), recorded_calls(model) as calls:
        outputs = pair_outputs(model, batch)
    return gradients_of_forward(model, batch, outputs, calls)


def gradients_of_forward(
    model: nn.Module, batch: PairBatch, outputs: PairOutputs, calls: list[Call], retain_graph: bool = False
) -> PairGradients:
    """`pair_gradients` of a forward pass that was made elsewhere, inside `recorded_calls`; see `gradient_groups`."""
    groups = gradient_groups(model, batch, outputs, calls, retain_graph)
    parameters = {name: gradients for group in groups for name, gradients in group}
    return PairGradients(outputs.detach(), _in_model_order(parameters, model))


Found = TypeVar("Found")
Group = list[tuple[str, ParameterGradients]]
"""Parameters whose layers read the same input, so that their norms share work."""


@torch.no_grad()
def gradient_groups(
    model: nn.Module, batch: PairBatch, outputs: PairOutputs, calls: list[Call], retain_graph: bool = False
) -> Iterator[Group]:
    """The gradients of all pairs, a few parameters at a time, from a forward pass that was recorded.

    Args:
        model: What made the forward pass.
        batch: Its pairs.
        outputs: Its rewards, with their graph.
        calls: Its calls, from `recorded_calls`; emptied on the way, to let go of memory.
        retain_graph: Leave the graph for another backward pass.

    Yields:
        Parameters that share an input, each with its gradients.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not names:
        raise UsageError("no parameter of the model requires a gradient: call requires_grad_(True) on what you study")
    with torch.enable_grad():
        difference = outputs.reward_difference
        total = difference.sum()
    slots = PairSlots(batch)
    rules = [rule_for(call, batch, slots) for call in calls]
    slow = _not_covered(names, calls, rules, uses_of_parameters(difference))
    if slow:
        yield _one_pair_at_a_time(model, difference, {name for i, name in names.items() if i in slow})
    used = [(call, rule) for call, rule in zip(calls, rules, strict=True) if rule and not slow.issuperset(_own(call))]
    layers = [_Layer(call.module, rule) for call, rule in used]
    layer_outputs = [call.output for call, _ in used]
    # From here on only the layers hold on to what entered them: inputs go one by one, outputs with the graph.
    calls.clear()
    del rules, used
    if not layers:  # all that trains was slow
        return
    output_gradients = list(
        torch.autograd.grad(total, layer_outputs, retain_graph=retain_graph, allow_unused=True, materialize_grads=True)
    )
    del layer_outputs
    found = _found_in_layers(layers, output_gradients)
    with torch.autocast(total.device.type, enabled=False):
        yield from _grouped_by_input((names[key], whole) for key, whole in found if key not in slow)


class _Layer(NamedTuple):
    """One call of a module, reduced to what its parameters' gradients follow from."""

    module: nn.Module
    rule: Rule


def _found_in_layers(layers: list[_Layer], output_gradients: list[Tensor]) -> Iterator[tuple[int, ParameterGradients]]:
    """The gradients of each parameter, once all its calls are in; lets go of each call when it is done with."""
    to_come = Counter(key for layer in layers for key in _own(layer))
    gathered: dict[int, list[ParameterGradients]] = defaultdict(list)
    while layers:
        layer = layers.pop(0)
        to_come.subtract(_own(layer))
        for local, found in layer.rule(output_gradients.pop(0)).items():
            gathered[id(getattr(layer.module, local))].append(found)
        for key in _own(layer):
            if to_come[key] == 0 and gathered[key]:
                yield key, combined(gathered.pop(key))


def _grouped_by_input(found: Iterable[tuple[str, ParameterGradients]]) -> Iterator[Group]:
    group: Group = []
    shared: Tensor | None = None
    for name, gradients in found:
        if isinstance(gradients, OuterProducts):
            if shared is not None and gradients.inputs is not shared:
                yield group
                group = []
            shared = gradients.inputs
        group.append((name, gradients))
    yield group


def _not_covered(
    trained: Collection[int], calls: Sequence[Call], rules: Sequence[Rule | None], uses: Counter[int]
) -> set[int]:
    """Parameters whose gradient the recorded calls do not hold completely, by id."""
    covered = Counter(key for call, rule in zip(calls, rules, strict=True) if rule for key in _own(call))
    return {key for key in trained if uses[key] > covered[key]}


def _own(called: Call | _Layer) -> list[int]:
    return [id(parameter) for parameter in called.module.parameters(recurse=False) if parameter.requires_grad]


def _one_pair_at_a_time(model: nn.Module, difference: Tensor, names: Collection[str]) -> Group:
    """Gradients by autograd, one backward pass per pair: always right, and slow."""
    logger.warning(
        "The gradients of %s are computed one pair at a time: no fast rule is known for the way the model uses them.",
        _listed(sorted(names)),
    )
    parameters = [parameter for name, parameter in model.named_parameters() if name in names]
    rows = [
        torch.autograd.grad(difference, parameters, one, retain_graph=True, allow_unused=True, materialize_grads=True)
        for one in torch.eye(len(difference), dtype=difference.dtype, device=difference.device)
    ]
    ordered = [name for name, _ in model.named_parameters() if name in names]
    return [(name, Dense(torch.stack(column))) for name, column in zip(ordered, zip(*rows, strict=True), strict=True)]


@torch.no_grad()
def squared_norms(group: Group) -> dict[str, Tensor]:
    """‖g_i‖² with respect to each parameter: name -> shape (pairs,)."""
    squared: dict[str, Tensor] = {}
    for members in _grouped_by_input(group):
        matrices = {name: found for name, found in members if isinstance(found, OuterProducts)}
        if matrices:
            squared |= zip(matrices, squared_norms_of_group(list(matrices.values())), strict=True)
        squared |= {name: found.squared_norm() for name, found in members if name not in matrices}
    return squared


def _in_model_order(found: dict[str, Found], model: nn.Module) -> dict[str, Found]:
    return {name: found[name] for name, _ in model.named_parameters() if name in found}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
