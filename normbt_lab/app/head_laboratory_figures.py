"""What weights did to a score head: accuracy by category of two heads, on pairs that neither was trained on."""

from __future__ import annotations

import plotly.graph_objects as go

from normbt_lab.app.explore_figures import GREY
from normbt_lab.app.head_laboratory import HeadComparison
from normbt_lab.evaluation.accuracy import Evaluation, GroupResult
from normbt_lab.evaluation.groups import ALL
from normbt_lab.figures import COLORS, count_of_pairs, safe, titled_figure


def head_accuracy_figure(found: HeadComparison) -> go.Figure:
    """Accuracy by category of both heads, with 95 % bootstrap intervals over the held-out pairs."""
    figure = titled_figure(head_finding(found))
    for label, evaluation, color in (
        ("uniform weights", found.uniform, COLORS["BT"]),
        ("the weights above", found.weighted, COLORS["NormBT"]),
    ):
        groups = _groups(evaluation)
        strict = [100 * group.strict for group in groups.values()]
        figure.add_bar(
            x=[f"{safe(name)}<br>({group.pairs:,})" for name, group in groups.items()],
            y=strict,
            error_y={
                "type": "data",
                "array": [100 * group.interval[1] - mean for group, mean in zip(groups.values(), strict, strict=True)],
                "arrayminus": [
                    mean - 100 * group.interval[0] for group, mean in zip(groups.values(), strict, strict=True)
                ],
                "thickness": 1.5,
                "width": 4,
                "color": GREY,
            },
            name=label,
            marker={"color": color},
            customdata=[[100 * end for end in group.interval] for group in groups.values()],
            hovertemplate="%{y:.1f} %, interval %{customdata[0]:.1f} to %{customdata[1]:.1f} %",
        )
    figure.add_hline(y=50, line={"dash": "dash", "width": 1, "color": GREY})
    figure.update_yaxes(title="accuracy (%, bars: 95 % interval)", range=[0, 104], dtick=25)
    figure.update_xaxes(title="category (held-out pairs)", tickangle=0, tickfont={"size": 12})
    figure.update_layout(height=420, margin={"l": 50, "r": 16, "b": 115}, bargap=0.3, bargroupgap=0.08)
    return figure


def head_finding(found: HeadComparison) -> str:
    """What the weights gained, with its interval, the pairs behind it and the seed."""
    gain, low, high = (100 * end for end in found.gain)
    held_out = count_of_pairs(found.uniform.overall.pairs)
    certain = "" if low > 0 or high < 0 else ", which may be nothing"
    return (
        f"On {held_out} held out, the weights change accuracy by {gain:+.1f} points "
        f"(95 % interval {low:+.1f} to {high:+.1f}{certain}); seed {found.settings.seed}, "
        f"trained on {count_of_pairs(found.trained_on)}"
    )


def _groups(evaluation: Evaluation) -> dict[str, GroupResult]:
    return {ALL: evaluation.overall, **evaluation.categories}
