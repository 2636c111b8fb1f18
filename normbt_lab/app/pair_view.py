"""What the Pair tab shows at one time, for one visitor: the pair, its readings, and where it lay before."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from normbt_lab.app.models import Models
from normbt_lab.app.plane import Point
from normbt_lab.app.reading import Reading, all_notices, checked_pair, read_pair
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError, UsageError

logger = logging.getLogger(__name__)

LONGEST_TRAIL = 6
"""Earlier places of an edited pair that are still drawn."""


@dataclass(frozen=True)
class PairView:
    """One pair through the models that could read it.

    Attributes:
        pair: The pair.
        readings: One per model that could read it.
        failures: Name of each other model -> why not.
        cuts: Which texts were cut to what the page reads, a sentence each.
        trail: Name of each model -> where earlier answers to the same prompt lay, oldest first.
    """

    pair: PreferencePair
    readings: list[Reading]
    failures: dict[str, str] = field(default_factory=dict)
    cuts: list[str] = field(default_factory=list)
    trail: dict[str, list[Point]] = field(default_factory=dict)

    @property
    def notices(self) -> list[str]:
        """What a reader must know to take the numbers for what they are; often nothing."""
        return [*self.cuts, *all_notices(self.readings)]


def view_pair(
    models: Models, prompt: str, chosen: str, rejected: str, names: Sequence[str], before: PairView | None = None
) -> PairView:
    """The view of a pair, read with each of the models in turn.

    Args:
        models: Those of the page.
        prompt: What the answers respond to.
        chosen: The preferred answer.
        rejected: The other one.
        names: The models to ask.
        before: What was shown until now; its points become the trail while the prompt stays.

    Raises:
        UsageError: A text is empty, or no model is named.
    """
    pair, cuts = checked_pair(prompt, chosen, rejected)
    if not names:
        raise UsageError("No model is named. Choose one, or two to compare.")
    readings, failures = read_with_each(models, names, pair)
    return PairView(pair, readings, failures, cuts, _trail(before, pair))


def read_with_each(models: Models, names: Sequence[str], pair: PreferencePair) -> tuple[list[Reading], dict[str, str]]:
    """What each model makes of the pair; those that cannot read it, with the reason."""
    readings: list[Reading] = []
    failures: dict[str, str] = {}
    for name in dict.fromkeys(names):
        try:
            readings.append(_read(models, name, pair))
        except NormBTError as error:
            failures[name] = str(error)
        except Exception as error:
            # The page must go on, whatever a model folder holds; the log has the rest.
            logger.exception("%s could not read a pair", name)
            failures[name] = f"It failed ({type(error).__name__}). The log of the server has the details."
    return readings, failures


def _read(models: Models, name: str, pair: PreferencePair) -> Reading:
    with models.use(name) as reward_model:
        return read_pair(name, reward_model, pair)


def _trail(before: PairView | None, pair: PreferencePair) -> dict[str, list[Point]]:
    if before is None or before.pair.prompt != pair.prompt:
        return {}
    trail = {name: list(points) for name, points in before.trail.items()}
    if before.pair == pair:
        return trail
    for reading in before.readings:
        points = trail.setdefault(reading.model, [])
        points.append(Point(reading.scored.representation_distance, reading.scored.prediction_error))
        del points[:-LONGEST_TRAIL]
    return trail
