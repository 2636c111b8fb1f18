"""The margins of a data set on another scale: what ``margin_scale`` names."""

from __future__ import annotations

from collections.abc import Sequence

from normbt_lab.errors import NormBTError, UsageError

MARGIN_SCALES = ("mean1",)


def require_margin_scale(margin_scale: str | None) -> None:
    """Refuse a name that is no scale of margins; None stands for the margins as they are.

    Raises:
        UsageError: Another name.
    """
    if margin_scale not in (None, *MARGIN_SCALES):
        raise UsageError(f"margin_scale is {', '.join(MARGIN_SCALES)} or nothing; got {margin_scale!r}")


def scaled_margins(margins: Sequence[float], margin_scale: str | None) -> list[float]:
    """Margins of one data set divided by their mean for ``mean1``, else as they are.

    Rating scales differ between sources, and the loss reads margins in the units of the reward (decisions, point 15).

    Raises:
        UsageError: An unknown scale.
        NormBTError: The mean is not above 0: dividing by it would turn the signs of all margins or make them infinite.

    Example:
        >>> scaled_margins([1.0, 3.0], "mean1")
        [0.5, 1.5]
    """
    require_margin_scale(margin_scale)
    if margin_scale is None:
        return list(margins)
    mean = sum(margins) / len(margins)
    if not mean > 0:
        negative = sum(margin < 0 for margin in margins)
        raise NormBTError(
            f"margin_scale='mean1' divides the {len(margins):,} margins by their mean, which has to be above 0; it is "
            f"{mean:.3g}, and {negative:,} are negative. Are chosen and rejected, or their ratings, exchanged? Correct "
            "the data, or leave margin_scale out."
        )
    return [margin / mean for margin in margins]
