"""What is known of a pair once its exact gradient has been measured: plain numbers, no torch, so figures load fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbt_lab.scoring.scored_pair import ScoredPair


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """One scored pair with the exact gradient of its reward difference.

    Attributes:
        scored: Rewards, distance and texts.
        gradient_distance: ‖∇_θ(r_w − r_l)‖ over all trained parameters (paper eq. 2), units of h.
        by_layer: The same norm by place: ``embedding``, ``layer 0``, ``layer 1``, ..., ``final norm``, ``score head``.
            Their squares add up to the square of `gradient_distance`.
        by_module: The same norm by kind of module: ``embed_tokens``, ``q_proj``, ..., ``norm``, ``score``.
        alignment: Cosine of the pair's gradient with the summed Bradley-Terry pull of the other measured pairs, −1 to
            1; None where it was not measured.
    """

    scored: ScoredPair
    gradient_distance: float
    by_layer: Mapping[str, float] = field(default_factory=dict)
    by_module: Mapping[str, float] = field(default_factory=dict)
    alignment: float | None = None

    @property
    def update_size(self) -> float:
        """Norm of the pair's Bradley-Terry gradient over all trained parameters (paper eq. 2), unweighted."""
        return self.scored.prediction_error * self.gradient_distance

    @property
    def head_update_size(self) -> float:
        """Norm of the pair's Bradley-Terry gradient at the score head (paper eq. 6), unweighted."""
        return self.scored.head_update_size

    @property
    def score_head_share(self) -> float:
        """Share of the squared gradient norm that the score head holds, 0 to 1; 0 where the norm itself is 0."""
        if self.gradient_distance == 0:
            return 0.0
        return (self.scored.representation_distance / self.gradient_distance) ** 2

    @property
    def distance_ratio(self) -> float | None:
        """k of eq. 7, gradient distance / representation distance, 1 or more; None at distance 0."""
        distance = self.scored.representation_distance
        return self.gradient_distance / distance if distance > 0 else None

    def computed(self) -> dict[str, Any]:
        """What ``normbt audit`` writes of the pair besides the fields of its input."""
        return {
            **self.scored.computed(),
            "gradient_distance": self.gradient_distance,
            "score_head_share": self.score_head_share,
            "update_size": self.update_size,
            "alignment": self.alignment,
            "gradient_by_layer": dict(self.by_layer),
            "gradient_by_module": dict(self.by_module),
        }
