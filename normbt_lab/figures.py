"""From scored pairs, evaluations and training logs to plotly figures, alike in notebooks, README, report and app.

Each title is a finding computed from the data at hand. A name has one colour wherever it appears (`COLORS`); these stay
apart for colour-blind readers and stand out from white and from a dark page. No torch here.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.accuracy import Evaluation
from normbt_lab.evaluation.groups import bin_names, grouped
from normbt_lab.evaluation.tables import percent
from normbt_lab.scoring.scored_pair import field_label

if TYPE_CHECKING:
    from normbt_lab.scoring.scored_pair import ScoredPair

COLORS = {
    "BT": "#d55e00",
    "NormBT": "#1f7fc4",
    "chat": "#b8609a",
    "chat hard": "#8a7000",
    "safety": "#009e73",
    "reasoning": "#5b6fd6",
}
"""What has one colour everywhere; upper and lower case are alike."""

SPARE_COLORS = ("#7f8c8d", "#8c6bb1", "#1b9e9e", "#c1443c", "#a07c00")
"""For names that are not in `COLORS`, in the order in which a figure meets them."""

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "star", "hexagon")

BACKGROUND = {"light": "#ffffff", "dark": "#15181d"}
INK = {"light": "#22262c", "dark": "#dfe3e8"}
GRID = {"light": "#e3e6ea", "dark": "#333941"}

MOST_POINTS = 1500
"""Single pairs drawn in a figure; of more, so many are drawn evenly over the distances, and the figure says so."""

Log = Sequence[Mapping[str, Any]]
"""What a trainer logged: ``trainer.state.log_history``, one record per log."""


def theme(mode: str = "light") -> go.layout.Template:
    """The look that all figures share.

    Args:
        mode: ``light`` or ``dark``.
    """
    axis = {"gridcolor": GRID[mode], "zerolinecolor": GRID[mode], "linecolor": GRID[mode], "automargin": True}
    layout = {
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": INK[mode]},
        # The pad keeps a title of two lines whole in a figure of few rows, whose 3 % are less than a line.
        "title": {"x": 0.01, "xanchor": "left", "y": 0.97, "yanchor": "top", "pad": {"t": 8}, "font": {"size": 16}},
        "paper_bgcolor": BACKGROUND[mode],
        "plot_bgcolor": BACKGROUND[mode],
        "margin": {"l": 60, "r": 20, "t": 70, "b": 100},
        "height": 440,
        "xaxis": axis,
        "yaxis": axis,
        "colorway": [*COLORS.values(), *SPARE_COLORS],
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "itemsizing": "constant",
        },
        "hoverlabel": {"align": "left", "bgcolor": BACKGROUND[mode], "font": {"color": INK[mode]}},
        "hovermode": "closest",
    }
    return go.layout.Template(layout=layout)


def reward_difference_figure(scored: Mapping[str, Sequence[ScoredPair]]) -> go.Figure:
    """Distribution of reward differences, one outline per model: right of 0 the model agrees with the preference.

    Args:
        scored: Name of each model -> its scored pairs.
    """
    require(any(scored.values()), "scored pairs")
    figure = titled_figure(_agreement(scored))
    every = np.array([pair.reward_difference for pairs in scored.values() for pair in pairs])
    edges = np.histogram_bin_edges(every, bins=40)
    for name, color in colored(scored):
        differences = [pair.reward_difference for pair in scored[name]]
        shares = 100 * np.histogram(differences, edges)[0] / max(1, len(differences))
        _add_outline(figure, edges, shares, name, color, "%{y:.1f} % of pairs around %{x:.2f}")
    figure.add_vline(x=0, line={"dash": "dash", "width": 1, "color": "#888888"})
    figure.update_xaxes(title=field_label("reward_difference"))
    figure.update_yaxes(title="pairs (%)", rangemode="tozero")
    return figure


def distance_by_category_figure(scored: Sequence[ScoredPair]) -> go.Figure:
    """Representation distances of each category: quartiles as a box, whiskers from 5 to 95 %.

    Args:
        scored: Scored pairs of one model; log axis where they spread over more than a factor of 30.
    """
    require(scored, "scored pairs")
    distances = {name: _distances(pairs) for name, pairs in grouped(scored, _category).items()}
    every = np.concatenate(list(distances.values()))
    is_log, floor = log_axis(every)
    figure = titled_figure(_distance_finding({name: float(np.median(values)) for name, values in distances.items()}))
    for name, color in reversed(colored(distances)):  # a category axis starts at the bottom
        add_quantile_box(figure, name, np.maximum(distances[name], floor), color)
    zeros = int((every == 0).sum())
    note = f"<br>{zeros:,} pairs at distance 0 drawn at the left edge" if zeros and is_log else ""
    figure.update_xaxes(
        title=field_label("representation_distance") + note,
        type="log" if is_log else "linear",
        **plain_log_ticks(is_log),
    )
    figure.update_layout(height=180 + 60 * len(distances), margin={"b": 70})
    return figure


def weight_against_distance_figure(scored: Sequence[ScoredPair]) -> go.Figure:
    """NormBT weight of each pair against its distance, both logarithmic, with the curve running mean / distance.

    The larger a marker, the larger the pair's prediction error, the other factor of its gradient (paper eq. 6). Above
    them is how many pairs of each category lie at which distance.

    Args:
        scored: Scored pairs of one model. Pairs without a weight are left out, and those at distance 0, whose weight
            is running mean / eps.

    Raises:
        NormBTError: No pair has a weight.
    """
    drawn = sorted(
        (pair for pair in scored if pair.weight and pair.representation_distance > 0),
        key=lambda pair: pair.representation_distance,
    )
    require(drawn, "pairs with a weight (score with a running mean)")
    shown = _thinned(drawn)
    weights = np.array([pair.weight for pair in drawn])
    heavy = f"{percent(float((weights > 1).mean()))} of {count_of_pairs(len(drawn))} weigh more than 1"
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.04, row_heights=[0.25, 0.75])
    figure.update_layout(titled_figure(f"{heavy}: the closest {weights[0]:.3g}, the farthest {weights[-1]:.3g}").layout)
    _add_weight_curve(figure, drawn)
    groups = grouped(drawn, _category, among=scored)
    members = grouped(shown, _category, among=scored)
    for number, (name, color) in enumerate(colored(groups)):
        _add_weight_markers(figure, members.get(name, []), name, color, SYMBOLS[number % len(SYMBOLS)])
    _add_distances_above(figure, groups)
    left_out = len(scored) - len(drawn)
    notes = [
        "larger marker: larger prediction error",
        *([f"{len(shown):,} of {len(drawn):,} pairs drawn"] if len(shown) < len(drawn) else []),
        *([f"{count_of_pairs(left_out)} without a weight or at distance 0 left out"] if left_out else []),
    ]
    figure.update_xaxes(type="log", **plain_log_ticks(True))
    figure.update_xaxes(title=f"{field_label('representation_distance')}<br>{'; '.join(notes)}", row=2)
    figure.update_yaxes(title=field_label("weight"), type="log", **plain_log_ticks(True), row=2)
    figure.update_yaxes(title="pairs", row=1)
    figure.update_layout(height=560)
    return figure


def running_mean_figure(history: Mapping[str, Log]) -> go.Figure:
    """Running mean of the distance over the steps of each run, on a band from the 25th to the 75th percentile.

    Args:
        history: Name of each run -> what its trainer logged; runs without a running mean are left out.

    Raises:
        NormBTError: No run has one.
    """
    logged = {name: records_with(records, "running_mean") for name, records in history.items()}
    logged = {name: records for name, records in logged.items() if records}
    require(logged, "logs with a running mean (train with NormBTTrainer)")
    changes = [
        f"from {records[0]['running_mean']:.3g} to {records[-1]['running_mean']:.3g} under {name}"
        for name, records in logged.items()
    ]
    figure = titled_figure(f"The running mean goes {listed(changes)}")
    for name, color in colored(logged):
        records = logged[name]
        steps = [record["step"] for record in records]
        if all("distance_p25" in record and "distance_p75" in record for record in records):
            figure.add_scatter(
                x=steps + steps[::-1],
                y=[r["distance_p25"] for r in records] + [r["distance_p75"] for r in reversed(records)],
                fill="toself",
                fillcolor=faded(color, 0.15),
                line={"width": 0},
                mode="lines",
                name=f"{safe(name)}: middle half of the step's pairs",
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=steps,
            y=[record["running_mean"] for record in records],
            mode="lines" if len(steps) > 1 else "markers",
            line={"color": color, "width": 2.5},
            name=f"{safe(name)}: running mean",
            hovertemplate="step %{x}: %{y:.3g}",
        )
    figure.update_xaxes(title="optimizer step")
    figure.update_yaxes(title=field_label("representation_distance"), rangemode="tozero")
    return figure


def accuracy_by_distance_figure(evaluations: Mapping[str, Evaluation]) -> go.Figure:
    """Accuracy in each distance bin with 95 % intervals, one series per model, from the closest pairs to the farthest.

    Args:
        evaluations: Name of each model -> its evaluation. Bins are quantiles of each model's own distances.
    """
    require(evaluations, "evaluations")
    closest, farthest = (
        listed(f"{name} {percent(e.distance_bins[i].result.strict)}" for name, e in evaluations.items())
        for i in (0, -1)
    )
    bins = max(len(evaluation.distance_bins) for evaluation in evaluations.values())
    finding = f"Closest pairs: {closest} right; farthest pairs: {farthest}" if bins > 1 else f"Right: {closest}"
    figure = titled_figure(finding)
    for number, (name, color) in enumerate(colored(evaluations)):
        found = evaluations[name].distance_bins
        results = [one.result for one in found]
        aside = 0.1 * (
            number - (len(evaluations) - 1) / 2
        )  # so that the intervals of two models do not cover each other
        figure.add_scatter(
            x=[i + aside for i in range(len(found))],
            y=[100 * result.strict for result in results],
            error_y={
                "type": "data",
                "array": [100 * (result.interval[1] - result.strict) for result in results],
                "arrayminus": [100 * (result.strict - result.interval[0]) for result in results],
                "color": color,
            },
            mode="lines+markers",
            line={"color": color, "width": 1.5},
            marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 9},
            name=safe(name),
            customdata=[f"{one.result.pairs:,} pairs, distance {one.low:.3g} to {one.high:.3g}" for one in found],
            hovertemplate="%{y:.1f} %<br>%{customdata}",
        )
    figure.add_hline(y=50, line={"dash": "dash", "width": 1, "color": "#888888"})
    figure.update_xaxes(
        title="distance, bins of equally many pairs",
        tickvals=list(range(bins)),
        ticktext=[name.replace(" (", "<br>(") for name in bin_names(bins)],
    )
    lowest = min(100 * one.result.interval[0] for e in evaluations.values() for one in e.distance_bins)
    figure.update_yaxes(title="accuracy (%, bars: 95 % interval)", range=[min(lowest, 50) - 4, 103])
    return figure


def loss_and_accuracy_figure(history: Mapping[str, Log]) -> go.Figure:
    """Training loss and accuracy over the steps of each run: each step faint, their running average strong.

    Training losses of differently weighted runs do not compare; evaluation losses (diamonds), plain Bradley-Terry, do.

    Args:
        history: Name of each run -> what its trainer logged.

    Raises:
        NormBTError: No run has a logged loss.
    """
    logged = {name: records_with(records, "loss") for name, records in history.items()}
    logged = {name: records for name, records in logged.items() if records}
    require(logged, "training logs with a loss")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    figure.update_layout(titled_figure(_training_finding(history, logged)).layout)
    for name, color in colored(logged):
        for row, key, scale in ((1, "loss", 1), (2, "accuracy", 100)):
            _add_curve(figure, row, safe(name), color, records_with(history[name], key), key, scale)
            evaluated = records_with(history[name], f"eval_{key}")
            figure.add_scatter(
                x=[record["step"] for record in evaluated],
                y=[scale * record[f"eval_{key}"] for record in evaluated],
                mode="markers",
                marker={"color": color, "symbol": "diamond", "size": 9},
                name=f"{safe(name)}: evaluation",
                showlegend=row == 1 and bool(evaluated),
                hovertemplate="step %{x}: %{y:.3g}",
                row=row,
                col=1,
            )
    figure.update_yaxes(title="loss, as weighted (nats)", rangemode="tozero", row=1)
    figure.update_yaxes(title="accuracy (%)", row=2)
    figure.update_xaxes(title="optimizer step", row=2)
    figure.update_layout(height=560)
    return figure


# ---- findings --------------------------------------------------------------------------------------------------------


def _agreement(scored: Mapping[str, Sequence[ScoredPair]]) -> str:
    accuracies = [
        f"{name} ranks {percent(sum(pair.is_correct for pair in pairs) / len(pairs))}"
        for name, pairs in scored.items()
        if pairs
    ]
    counts = sorted({len(pairs) for pairs in scored.values()})
    return f"{listed(accuracies)} of {count_of_pairs(counts[0]) if len(counts) == 1 else 'their pairs'} right"


def _distance_finding(medians: Mapping[str, float]) -> str:
    far, close = max(medians, key=lambda name: medians[name]), min(medians, key=lambda name: medians[name])
    if len(medians) == 1:
        return f"The median distance is {medians[far]:.3g}"
    if medians[close] == medians[far]:
        return f"All categories have the same median distance, {medians[far]:.3g}"
    times = f"{medians[far] / medians[close]:.2g} times as far apart as" if medians[close] > 0 else "farther apart than"
    return f"{capital(far)} pairs lie {times} {close} pairs (medians {medians[far]:.3g} and {medians[close]:.3g})"


def _training_finding(history: Mapping[str, Log], logged: Mapping[str, Log]) -> str:
    evaluated = {name: records_with(records, "eval_accuracy") for name, records in history.items()}
    if all(evaluated[name] for name in logged):
        last = [f"{name} {percent(evaluated[name][-1]['eval_accuracy'])}" for name in logged]
        return f"Evaluation accuracy at the end: {listed(last)}"
    accuracies = {name: records_with(records, "accuracy") for name, records in logged.items()}
    if not all(accuracies.values()):
        losses = [f"{name} {records[0]['loss']:.3g} to {records[-1]['loss']:.3g}" for name, records in logged.items()]
        return f"Training loss from first to last step: {listed(losses)}"
    tail = max(1, min(map(len, accuracies.values())) // 10)
    means = [
        f"{name} {percent(sum(record['accuracy'] for record in records[-tail:]) / tail)}"
        for name, records in accuracies.items()
    ]
    return f"Training accuracy over the last {'log' if tail == 1 else f'{tail} logs'}: {listed(means)}"


# ---- parts of figures ------------------------------------------------------------------------------------------------


def titled_figure(finding: str) -> go.Figure:
    """An empty figure with the theme; its title is the finding, broken into lines that fit a notebook."""
    figure = go.Figure()
    lines = textwrap.wrap(finding, width=75)
    figure.update_layout(template=theme(), title={"text": "<br>".join(map(safe, lines))})
    return figure


def log_axis(values: np.ndarray) -> tuple[bool, float]:
    """Whether values need a log axis (they spread over more than a factor of 30), and where it draws its zeros."""
    positive = values[values > 0]
    is_log = bool(len(positive)) and positive.max() / positive.min() > 30
    return is_log, positive.min() / 2 if is_log else 0.0  # a log axis has no place for 0


def add_quantile_box(figure: go.Figure, name: str, values: np.ndarray, color: str, **where: Any) -> None:
    """Quartiles of the values as a lying box, whiskers from 5 to 95 %, beside their name."""
    low, q1, median, q3, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    figure.add_box(
        y=[safe(name)],
        lowerfence=[low],
        q1=[q1],
        median=[median],
        q3=[q3],
        upperfence=[high],
        orientation="h",
        name=f"{safe(name)} ({len(values):,})",
        marker={"color": color},
        fillcolor=faded(color, 0.25),
        showlegend=False,
        hoverinfo="x",
        **where,
    )


def _add_weight_curve(figure: go.Figure, pairs: Sequence[ScoredPair]) -> None:
    """The line running mean / distance, where the weights are that: under another strength or a bound they are not."""
    ends = [pairs[0], pairs[-1]]
    running_means = np.array([(pair.weight or 0) * pair.representation_distance for pair in pairs])
    if np.ptp(running_means) < 0.01 * running_means.mean():
        figure.add_scatter(
            x=[pair.representation_distance for pair in ends],
            y=[pair.weight for pair in ends],
            mode="lines",
            line={"color": "#888888", "width": 1, "dash": "dot"},
            name=f"running mean {running_means.mean():.3g} / distance",
            hoverinfo="skip",
            row=2,
            col=1,
        )
    figure.add_hline(y=1, line={"dash": "dash", "width": 1, "color": "#888888"}, row=2, col=1)


def _add_weight_markers(figure: go.Figure, pairs: Sequence[ScoredPair], name: str, color: str, symbol: str) -> None:
    figure.add_scatter(
        x=[pair.representation_distance for pair in pairs],
        y=[pair.weight for pair in pairs],
        mode="markers",
        name=safe(name),
        legendgroup=name,
        marker={
            "color": faded(color, 0.35),
            "symbol": symbol,
            "size": [4 + 12 * pair.prediction_error for pair in pairs],
            "line": {"color": color, "width": 1},
        },
        customdata=[hover_text(pair) for pair in pairs],
        hovertemplate="%{customdata}<extra></extra>",
        row=2,
        col=1,
    )


def _add_distances_above(figure: go.Figure, groups: Mapping[str, Sequence[ScoredPair]]) -> None:
    """How many pairs of each category lie at which distance, in the upper row."""
    exponents = {name: np.log10(_distances(pairs)) for name, pairs in groups.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(exponents.values())), bins=30)
    for name, color in colored(groups):
        counts = np.histogram(exponents[name], edges)[0]
        hover = "%{y} pairs around %{x:.3g}"
        _add_outline(figure, 10**edges, counts, name, color, hover, showlegend=False, legendgroup=name, row=1, col=1)


def _add_outline(
    figure: go.Figure, edges: np.ndarray, heights: np.ndarray, name: str, color: str, hover: str, **where: Any
) -> None:
    """A histogram as a filled outline, so that several show through each other."""
    centres = (edges[:-1] + edges[1:]) / 2
    figure.add_scatter(
        x=[edges[0], *centres, edges[-1]],
        y=[heights[0], *heights, heights[-1]],
        mode="lines",
        name=safe(name),
        line={"color": color, "shape": "hvh", "width": 2},
        fill="tozeroy",
        fillcolor=faded(color, 0.18),
        hovertemplate=hover,
        **where,
    )


def _add_curve(figure: go.Figure, row: int, name: str, color: str, records: Log, key: str, scale: float) -> None:
    """One logged quantity: every record faint, and the average over a twentieth of the run strong."""
    steps = [record["step"] for record in records]
    values = scale * np.array([record[key] for record in records], dtype=float)
    window = max(1, math.ceil(len(values) / 20))
    averages = [values[max(0, i + 1 - window) : i + 1].mean() for i in range(len(values))]
    if window > 1:
        line = {"color": faded(color, 0.3), "width": 1}
        figure.add_scatter(
            x=steps, y=values, mode="lines", line=line, showlegend=False, hoverinfo="skip", name=name, row=row, col=1
        )
    figure.add_scatter(
        x=steps,
        y=averages,
        mode="lines" if len(steps) > 1 else "markers",
        line={"color": color, "width": 2.5},
        name=f"{name} (mean of {window} logs)" if window > 1 else name,
        showlegend=row == 1,
        hovertemplate="step %{x}: %{y:.3g}",
        row=row,
        col=1,
    )


def colored(names: Iterable[str]) -> list[tuple[str, str]]:
    """Each name with its colour: its own where it has one, else the next spare one."""
    own = {name.lower(): color for name, color in COLORS.items()}
    found = []
    spare = 0
    for name in names:
        color = own.get(name.lower())
        if color is None:
            color = SPARE_COLORS[spare % len(SPARE_COLORS)]
            spare += 1
        found.append((name, color))
    return found


def faded(color: str, opacity: float) -> str:
    """The colour, so that what lies behind shows through."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def hover_text(pair: ScoredPair) -> str:
    """A pair in a few lines, with the labels of its fields."""
    numbers = ("representation_distance", "weight", "reward_difference", "prediction_error")
    values = [f"{field_label(name)}: {getattr(pair, name):.3g}" for name in numbers if getattr(pair, name) is not None]
    texts = [f"{field_label(name)}: {_excerpt(getattr(pair, name))}" for name in ("prompt", "chosen", "rejected")]
    return "<br>".join(map(safe, [f"pair {pair.index}", *texts, *values]))


def _excerpt(text: str) -> str:
    return textwrap.shorten(text[:400], width=60, placeholder=" ...")


def safe(text: str) -> str:
    """Text that plotly shows as it is: plotly reads a part of HTML in every label."""
    return html.escape(text, quote=False)


def _category(pair: ScoredPair) -> str | None:
    return pair.category


def _distances(scored: Sequence[ScoredPair]) -> np.ndarray:
    return np.array([pair.representation_distance for pair in scored])


def _thinned(pairs: list[ScoredPair]) -> list[ScoredPair]:
    if len(pairs) <= MOST_POINTS:
        return pairs
    return [pairs[i] for i in np.linspace(0, len(pairs) - 1, MOST_POINTS).round().astype(int)]


def records_with(records: Log, key: str) -> list[Mapping[str, Any]]:
    """The log's records that hold this metric."""
    return [record for record in records if record.get(key) is not None]


def plain_log_ticks(is_log: bool) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 of each power of ten, written out."""
    return {"dtick": "D2", "tickformat": "~g", "exponentformat": "none"} if is_log else {}


def listed(parts: Iterable[str]) -> str:
    """Parts of a sentence: "a, b and c"."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def count_of_pairs(pairs: int) -> str:
    """How many pairs, as a sentence says it: "1 pair", "1,200 pairs"."""
    return f"{pairs:,} pair{'s' if pairs != 1 else ''}"


def capital(text: str) -> str:
    """The text with its first letter large, as a sentence begins."""
    return text[:1].upper() + text[1:]


def require(found: object, what: str) -> None:
    """Nothing, if there is something to draw.

    Raises:
        NormBTError: There is none of what the figure needs.
    """
    if not found:
        raise NormBTError(f"a figure needs {what}, and there are none")
