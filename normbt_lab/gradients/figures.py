"""From measured pairs and training logs to the paper's figures about gradients (1, 2, 3, 8 and 9), as plotly figures.

The look, the colours and the parts that all figures share come from `normbt_lab.figures`. Each title is a finding
computed from the data at hand. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normbt_lab.errors import UsageError
from normbt_lab.evaluation.groups import ALL, bin_names, grouped, quantile_bins
from normbt_lab.evaluation.intervals import bootstrap_interval
from normbt_lab.evaluation.tables import percent
from normbt_lab.figures import (
    COLORS,
    MOST_POINTS,
    SPARE_COLORS,
    SYMBOLS,
    Log,
    add_quantile_box,
    capital,
    colored,
    count_of_pairs,
    faded,
    hover_text,
    listed,
    log_axis,
    plain_log_ticks,
    records_with,
    require,
    safe,
    titled_figure,
)
from normbt_lab.gradients.correlation import bootstrap_correlation
from normbt_lab.gradients.differing_words import Word, differing_words, lines_around_difference
from normbt_lab.gradients.measured_pair import MeasuredPair
from normbt_lab.scoring.scored_pair import field_label

GRADIENT_DISTANCE = "gradient distance (units of h)"
UPDATE_SIZE = "update size (units of h)"
NORM_SHARE = "share of the squared gradient norm (%)"

LINE_LETTERS = 58
"""Letters of a line of the text beside the boxes of `two_pair_figure`: what fits when it is 900 pixels wide."""

BANDS = (("min", "max", 0.12), ("p10", "p90", 0.2), ("p25", "p75", 0.35))
"""Lower edge, upper edge and opacity of each band of `distance_percentiles_figure`, from the widest."""

BAND_NAMES = {"min": "all pairs of the step", "p10": "10 to 90 %", "p25": "25 to 75 %"}

FEWEST_COMPARED = 5
"""A mean over fewer pairs is drawn, but the title of `update_size_at_fixed_difference_figure` does not rest on it."""

BIN_COLOR = SPARE_COLORS[1]
"""Of distance bins; paler for closer ones."""

GREY = "#888888"

MODULE_GROUPS = {
    "attention": (COLORS["NormBT"], ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj")),
    "mlp": (COLORS["safety"], ("gate_proj", "up_proj", "down_proj", "gate_up_proj")),
}
"""Modules that belong together -> their colour and names; each has its own depth of the colour."""

PLACE_COLORS = {
    "embedding": SPARE_COLORS[4],
    "embed_tokens": SPARE_COLORS[4],
    "final norm": SPARE_COLORS[0],
    "norm": SPARE_COLORS[0],
    "score head": COLORS["BT"],
    "score": COLORS["BT"],
}
"""Colours of places outside the layers, alike in both halves of `norm_by_layer_figure`."""


def two_pair_figure(pairs: Sequence[MeasuredPair]) -> go.Figure:
    """Two pairs as boxes: as high as the prediction error, as wide as the gradient distance, so the area is the update.

    It is what the result is about, in real numbers (paper, figure 1): beside each box stands the pair itself, with the
    words marked in which its two responses differ. Drawn for a width of 900 pixels.

    Args:
        pairs: Two pairs in the order from top to bottom, best one far apart and one close together.

    Raises:
        UsageError: Not two pairs.
    """
    if len(pairs) != 2:
        raise UsageError(f"two_pair_figure compares two pairs; got {len(pairs)}. Choose two of the measured ones.")
    names = _pair_names(pairs)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.14)
    figure.update_layout(titled_figure(_two_pair_finding(pairs, names)).layout)
    widest = max(pair.gradient_distance for pair in pairs) or 1.0
    figure.update_xaxes(domain=[0.57, 1], range=[0, 1.08 * widest])
    figure.update_yaxes(range=[0, 1.02], tickvals=[0, 0.5, 1], title="prediction error")
    for row, (pair, (name, color)) in enumerate(zip(pairs, colored(names), strict=True), start=1):
        color = colored([pair.scored.category or name])[0][1] if names[0] == "first" else color
        _add_update_box(figure, pair, color, widest, row)
        _add_pair_text(figure, pair, name, color, top=figure.layout[f"yaxis{row if row > 1 else ''}"].domain[1])
    figure.update_xaxes(title=GRADIENT_DISTANCE, row=2)
    figure.update_layout(height=540, width=900, showlegend=False, margin={"t": 84, "b": 68, "l": 24})
    return figure


def gradient_by_category_figure(measured: Sequence[MeasuredPair]) -> go.Figure:
    """Update size, gradient distance and representation distance of each category, side by side (paper, figure 2).

    Quartiles as boxes, whiskers from 5 to 95 %; a quantity has a log axis where it spreads over more than a factor
    of 30.

    Args:
        measured: Measured pairs of one model.
    """
    require(measured, "measured pairs")
    categories = grouped(measured, _category)
    panels: tuple[tuple[str, Callable[[MeasuredPair], float]], ...] = (
        (UPDATE_SIZE, lambda pair: pair.update_size),
        (GRADIENT_DISTANCE, lambda pair: pair.gradient_distance),
        (field_label("representation_distance"), lambda pair: pair.scored.representation_distance),
    )
    figure = make_subplots(rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.05)
    figure.update_layout(titled_figure(_category_finding(categories)).layout)
    for column, (label, quantity) in enumerate(panels, start=1):
        every = np.array([quantity(pair) for pair in measured])
        is_log, floor = log_axis(every)
        for name, color in reversed(colored(categories)):  # a category axis starts at the bottom
            values = np.array([quantity(pair) for pair in categories[name]])
            add_quantile_box(figure, name, np.maximum(values, floor), color, row=1, col=column)
        zeros = int((every == 0).sum()) if is_log else 0
        note = f"<br>{count_of_pairs(zeros)} at 0: left edge" if zeros else ""
        in_two_lines = label.replace(" (", "<br>(")  # in one, labels of neighbours meet in a notebook's column
        figure.update_xaxes(title=in_two_lines + note, col=column, **_narrow_log_ticks(is_log))
    ticks = [f"{safe(name)}<br>{count_of_pairs(len(members))}" for name, members in categories.items()]
    figure.update_yaxes(tickvals=[safe(name) for name in categories], ticktext=ticks)
    figure.update_layout(height=210 + 60 * len(categories), margin={"b": 100, "r": 36})
    return figure


def update_size_at_fixed_difference_figure(
    measured: Sequence[MeasuredPair], difference_bins: int = 4, distance_bins: int = 3
) -> go.Figure:
    """Mean update size of close and far pairs among pairs of like reward difference (paper, figure 3).

    Within a bin of reward difference the prediction error is nearly the same, so what tells its pairs apart is how far
    their two responses lie from each other. A number is how many pairs a point stands for.

    Args:
        measured: Measured pairs of one model.
        difference_bins: Number of bins of reward difference, of about equally many pairs; fewer are drawn where many
            are equal.
        distance_bins: Likewise, of representation distance, over all pairs.

    Raises:
        UsageError: A number of bins below 1.
        NormBTError: No pairs.
    """
    if difference_bins < 1 or distance_bins < 1:
        raise UsageError(f"bins must be 1 or more; got {difference_bins} of difference and {distance_bins} of distance")
    require(measured, "measured pairs")
    updates = np.array([pair.update_size for pair in measured])
    errors = np.array([pair.scored.prediction_error for pair in measured])
    edges, difference_of = quantile_bins([pair.scored.reward_difference for pair in measured], difference_bins)
    distance_edges, distance_of = quantile_bins([p.scored.representation_distance for p in measured], distance_bins)
    cells = [
        [updates[(difference_of == i) & (distance_of == j)] for i in range(len(edges) - 1)]
        for j in range(len(distance_edges) - 1)
    ]
    figure = titled_figure(_fixed_difference_finding(cells))
    for j, (name, color) in enumerate(zip(bin_names(len(cells)), _ramp(BIN_COLOR, len(cells)), strict=True)):
        where = f"distance {distance_edges[j]:.3g} to {distance_edges[j + 1]:.3g}"
        label = where if len(cells) == 1 else f"{name.partition('(')[2].rstrip(')') or name}: {where}"
        _add_cells(figure, cells[j], label, color, SYMBOLS[j % len(SYMBOLS)], 0.14 * (j - (len(cells) - 1) / 2))
    ticks = [
        f"{_signed(edges[i])} to {_signed(edges[i + 1])}<br>error {errors[difference_of == i].mean():.2f}"
        for i in range(len(edges) - 1)
    ]
    is_log, _ = log_axis(np.array([cell.mean() for row in cells for cell in row if len(cell)]))
    figure.update_xaxes(
        title=field_label("reward_difference") + " and mean prediction error of the bin",
        tickvals=list(range(len(ticks))),
        ticktext=ticks,
        range=[-0.5, len(ticks) - 0.5],
    )
    figure.update_yaxes(title=f"mean {UPDATE_SIZE}<br>bars: 95 % interval", **_log_or_from_zero(is_log))
    figure.update_layout(height=480, margin={"b": 110})
    return figure


def proxy_against_exact_figure(measured_by_name: Mapping[str, Sequence[MeasuredPair]]) -> go.Figure:
    """Gradient distance of each pair against its representation distance, one panel per stage (paper, figure 8).

    Each panel gives Pearson's r and Spearman's rank correlation, both of the plain distances, with 95 % intervals over
    the pairs. No pair with a trained score head lies below the dotted line: there the score head is the whole gradient.

    Args:
        measured_by_name: Name of each stage or model, such as "at initialisation" -> its measured pairs.

    Raises:
        NormBTError: No measured pairs, or a stage without any.
    """
    require(measured_by_name and all(measured_by_name.values()), "measured pairs of every stage")
    proxies = {name: _representation_distances(pairs) for name, pairs in measured_by_name.items()}
    exact = {name: np.array([pair.gradient_distance for pair in pairs]) for name, pairs in measured_by_name.items()}
    found = {name: bootstrap_correlation(proxies[name], exact[name]) for name in proxies}
    titles = [
        f"{safe(name)}, {count_of_pairs(len(proxies[name]))}<br>"
        f"<span style='font-size:12px'>r = {found[name]}<br>"
        f"rank correlation {bootstrap_correlation(proxies[name], exact[name], 'spearman')}</span>"
        for name in proxies
    ]
    columns = min(len(proxies), 3)
    rows = -(-len(proxies) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.22 / columns, vertical_spacing=0.4 / rows
    )
    _leave_room_for_panel_titles(figure, 0.17 / rows)
    values = {name: correlation.value for name, correlation in found.items()}
    figure.update_layout(titled_figure(_proxy_finding(values)).layout)
    is_log = any(log_axis(values)[0] for values in (*proxies.values(), *exact.values()))
    for number, name in enumerate(proxies):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        _add_proxy_panel(figure, measured_by_name, name, is_log, place)
        note = _not_drawn_note(measured_by_name[name], is_log)
        figure.update_xaxes(title=field_label("representation_distance") + note, **place)
    figure.update_xaxes(**_narrow_log_ticks(is_log))
    figure.update_yaxes(**_narrow_log_ticks(is_log))
    figure.update_yaxes(title=GRADIENT_DISTANCE, col=1)
    figure.update_layout(height=150 + 380 * rows, margin={"t": 84, "b": 110})
    return figure


def distance_percentiles_figure(history_by_run: Mapping[str, Log], columns: int = 2) -> go.Figure:
    """Representation distances over training, mean and bands: 25 to 75 %, 10 to 90 %, all pairs (paper, figure 9).

    Args:
        history_by_run: Name of each run -> what its trainer logged; runs without distances are left out.
        columns: Panels side by side; 1 for a narrow place.

    Raises:
        NormBTError: No run logged distances.
    """
    logged = {name: records_with(records, "distance_mean") for name, records in history_by_run.items()}
    logged = {name: records for name, records in logged.items() if records}
    require(logged, "logs with distances (train with NormBTTrainer)")
    columns = min(columns, len(logged))
    rows = -(-len(logged) // columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[safe(name) for name in logged] if len(logged) > 1 else None,
        shared_yaxes="all",
        horizontal_spacing=0.04,
        vertical_spacing=0.25 / rows,
    )
    if len(logged) > 1:
        _leave_room_for_panel_titles(figure, 0.07 / rows)
    figure.update_layout(titled_figure(_percentiles_finding(logged)).layout)
    for number, (name, color) in enumerate(colored(logged)):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        _add_distance_bands(figure, logged[name], color, place)
    _explain_bands(figure, list(logged.values()))
    figure.update_xaxes(title="optimizer step")
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title=field_label("representation_distance"), col=1)
    figure.update_layout(height=160 + 300 * rows, margin={"t": 76})
    return figure


def norm_by_layer_figure(measured: Sequence[MeasuredPair]) -> go.Figure:
    """Which part of the model holds the gradient: shares of its squared norm by layer and by kind of module, stacked.

    A share is the mean over the pairs of a category; pairs without any gradient are left out.

    Args:
        measured: Measured pairs of one model, with norms by layer.

    Raises:
        NormBTError: No pair has norms by layer.
    """
    drawn = [pair for pair in measured if any(pair.by_layer.values())]
    require(drawn, "measured pairs with norms by layer")
    categories = {ALL: drawn} | grouped(drawn, _category, among=measured)
    layers = {name: _mean_shares([pair.by_layer for pair in pairs]) for name, pairs in categories.items()}
    modules = {name: _mean_shares([pair.by_module for pair in pairs]) for name, pairs in categories.items()}
    figure = make_subplots(
        rows=2, cols=1, subplot_titles=["by layer", "by kind of module"], shared_xaxes=True, vertical_spacing=0.16
    )
    _leave_room_for_panel_titles(figure, 0.05)
    figure.update_layout(titled_figure(_layer_finding(layers[ALL])).layout)
    _add_stack(figure, layers, _layer_colors(layers[ALL]), row=1)
    _add_stack(figure, modules, _module_colors(modules[ALL]), row=2)
    figure.update_xaxes(range=[0, 100])
    figure.update_xaxes(title=f"{NORM_SHARE}, mean over pairs", row=2)
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(
        barmode="stack", height=250 + 68 * len(categories), margin={"t": 70, "r": 170, "b": 60}, bargap=0.25
    )
    for name, row in (("legend", 1), ("legend2", 2)):
        top = figure.layout[f"yaxis{row if row > 1 else ''}"].domain[1]
        figure.update_layout({name: _legend_beside(top)})
    return figure


# ---- findings --------------------------------------------------------------------------------------------------------


def _two_pair_finding(pairs: Sequence[MeasuredPair], names: Sequence[str]) -> str:
    larger, smaller = (0, 1) if pairs[0].update_size >= pairs[1].update_size else (1, 0)
    errors = [pairs[i].scored.prediction_error for i in (larger, smaller)]
    if pairs[smaller].update_size == 0:
        return (
            f"The {names[smaller]} pair gets no update; the {names[larger]} pair's is {pairs[larger].update_size:.3g}"
        )
    times = pairs[larger].update_size / pairs[smaller].update_size
    told = f"({errors[0]:.2f} against {errors[1]:.2f})"
    if abs(errors[0] - errors[1]) < 0.05:
        aside = f"for about the same error {told}"
    elif errors[0] < errors[1]:
        aside = f"though the model is less wrong about it {told}"
    else:
        aside = f"and the model is more wrong about it {told}"
    return f"The {names[larger]} pair pulls {times:.2g} times as hard as the {names[smaller]} pair, {aside}"


def _category_finding(categories: Mapping[str, Sequence[MeasuredPair]]) -> str:
    updates = {name: float(np.median([p.update_size for p in pairs])) for name, pairs in categories.items()}
    distances = {name: float(np.median([p.gradient_distance for p in pairs])) for name, pairs in categories.items()}
    weakest, closest = min(updates, key=lambda name: updates[name]), min(distances, key=lambda name: distances[name])
    strongest = max(updates, key=lambda name: updates[name])
    if len(categories) == 1:
        return f"The median update is {updates[weakest]:.3g}, the median gradient distance {distances[weakest]:.3g}"
    finding = (
        f"{capital(weakest)} pairs get the smallest updates (median {updates[weakest]:.2g}, {strongest} pairs "
        f"{updates[strongest]:.2g})"
    )
    if weakest == closest:
        return f"{finding} and have the closest responses"
    return f"{finding}, yet {closest} pairs have the closest responses"


def _fixed_difference_finding(cells: Sequence[Sequence[np.ndarray]]) -> str:
    ends = [
        (close.mean(), far.mean())
        for close, far in zip(cells[0], cells[-1], strict=True)
        if min(len(close), len(far)) >= FEWEST_COMPARED
    ]
    if len(cells) == 1 or not ends:
        every = np.concatenate([cell for row in cells for cell in row])
        return (
            f"Too few close and far pairs of like reward difference to compare; the mean update is {every.mean():.3g}"
        )
    larger = sum(far > close for close, far in ends)
    times = [far / close for close, far in ends if close > 0]
    finding = (
        f"In {larger} of {len(ends)} bins of reward difference that hold both, the farthest pairs get larger updates "
        "than the closest"
    )
    if not times or not larger:
        return finding
    span = f"{min(times):.2g} to {max(times):.2g}" if f"{min(times):.2g}" != f"{max(times):.2g}" else f"{times[0]:.2g}"
    return f"{finding}: {span} times as large"


def _proxy_finding(values: Mapping[str, float | None]) -> str:
    known = [f"{value:.2f} {name}" for name, value in values.items() if value is not None]
    unknown = [name for name, value in values.items() if value is None]
    if not known:
        return f"Representation and gradient distance: no correlation is defined for {listed(unknown)} (0 panels of it)"
    finding = f"Representation distance against the exact gradient distance: r = {listed(known)}"
    return f"{finding}; undefined {listed(unknown)}" if unknown else finding


def _percentiles_finding(logged: Mapping[str, Log]) -> str:
    changes = [
        f"from {records[0]['distance_mean']:.3g} to {records[-1]['distance_mean']:.3g} under {name}"
        for name, records in logged.items()
    ]
    finding = f"The mean distance goes {listed(changes)}"
    last = [records[-1] for records in logged.values() if _has_band(records, "p10", "p90")]
    if not last:
        return finding
    times = [record["distance_p90"] / record["distance_p10"] for record in last if record["distance_p10"] > 0]
    if not times:
        return finding
    span = " and ".join(f"{one:.2g}" for one in times)
    return f"{finding}; at the end the 90th percentile is {span} times the 10th"


def _layer_finding(shares: Mapping[str, float]) -> str:
    head = shares.get("score head", 0.0)
    others = {name: share for name, share in shares.items() if name != "score head"}
    if not others:
        return f"The score head holds {percent(head)} of the squared gradient norm"
    largest = max(others, key=lambda name: others[name])
    named = "the embedding" if largest == "embedding" else f"the {largest}" if largest == "final norm" else largest
    return (
        f"The score head holds {percent(head)} of the squared gradient norm; of the other places {named} holds most, "
        f"{percent(others[largest])}"
    )


# ---- parts of figures ------------------------------------------------------------------------------------------------


def _pair_names(pairs: Sequence[MeasuredPair]) -> list[str]:
    """What the two pairs are called: their categories where these differ."""
    categories = [pair.scored.category for pair in pairs]
    if all(categories) and len(set(categories)) == 2:
        return [str(category) for category in categories]
    return ["first", "second"]


def _add_update_box(figure: go.Figure, pair: MeasuredPair, color: str, widest: float, row: int) -> None:
    """The box and, in it or beside it, the product that its area is."""
    width, height = pair.gradient_distance, pair.scored.prediction_error
    figure.add_scatter(
        x=[0, width, width, 0, 0],
        y=[0, 0, height, height, 0],
        mode="lines",
        fill="toself",
        fillcolor=faded(color, 0.35),
        line={"color": color, "width": 2},
        hoveron="fills",
        text=_measured_hover(pair),
        hoverinfo="text",
        row=row,
        col=1,
    )
    fits_inside = width > 0.5 * widest and height > 0.22
    product = f"<span style='font-size:13px'>{height:.2f} × {width:.3g}</span>"
    figure.add_annotation(
        text=f"update size <b>{pair.update_size:.3g}</b><br>{product}",
        x=width / 2 if fits_inside else width,
        y=height / 2 if fits_inside or height > 0.25 else height,
        xanchor="center" if fits_inside else "left" if width < 0.5 * widest else "right",
        yanchor="middle" if fits_inside or height > 0.25 else "bottom",
        xshift=0 if fits_inside else 8 if width < 0.5 * widest else -8,
        showarrow=False,
        align="center" if fits_inside else "left",
        font={"size": 17},
        row=row,
        col=1,
    )


def _add_pair_text(figure: go.Figure, pair: MeasuredPair, name: str, color: str, top: float) -> None:
    """Prompt and both responses, left of the box, from its upper edge down."""
    chosen, rejected = differing_words(pair.scored.chosen, pair.scored.rejected)
    heading = f"<b><span style='color:{color};font-size:15px'>{safe(capital(name))} pair</span></b>"
    lines = [
        heading,
        *_quoted("Prompt", [Word(word, False) for word in pair.scored.prompt.split()], color, 2),
        "",
        *_quoted("Chosen", chosen, color, 3),
        "",
        *_quoted("Rejected", rejected, color, 3),
    ]
    figure.add_annotation(
        text="<br>".join(lines),
        x=0,
        y=top,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="top",
        align="left",
        showarrow=False,
        yshift=8,
        font={"size": 13},
    )


def _quoted(label: str, words: Sequence[Word], color: str, most_lines: int) -> list[str]:
    """A text behind its label, as lines of the HTML that plotly reads; differing words in bold colour."""
    named = [Word(label, False), *words]
    lines = lines_around_difference(named, LINE_LETTERS, most_lines)
    marked = [" ".join(_marked(word, color) for word in line) for line in lines]
    if lines[0][0].text == label:
        return [f"<i>{label}</i>{marked[0].removeprefix(label)}", *marked[1:]]
    return [f"<i>{label}</i> {marked[0]}", *marked[1:]]


def _marked(word: Word, color: str) -> str:
    return f"<b><span style='color:{color}'>{safe(word.text)}</span></b>" if word.differs else safe(word.text)


def _add_cells(
    figure: go.Figure, cells: Sequence[np.ndarray], name: str, color: str, symbol: str, aside: float
) -> None:
    """The mean update in each bin of reward difference that has pairs, with its interval and their number."""
    filled = [i for i, cell in enumerate(cells) if len(cell)]
    means = [float(cells[i].mean()) for i in filled]
    ends = [bootstrap_interval(cells[i]) for i in filled]
    figure.add_scatter(
        x=[i + aside for i in filled],
        y=means,
        error_y={
            "type": "data",
            "array": [high - mean for mean, (_, high) in zip(means, ends, strict=True)],
            "arrayminus": [mean - low for mean, (low, _) in zip(means, ends, strict=True)],
            "color": BIN_COLOR,
        },
        mode="markers+text",
        marker={"color": color, "symbol": symbol, "size": 11, "line": {"color": BIN_COLOR, "width": 1.5}},
        text=[f"  {len(cells[i]):,}" for i in filled],
        textposition="middle right",
        textfont={"size": 12},
        name=name,
        customdata=[count_of_pairs(len(cells[i])) for i in filled],
        hovertemplate="mean update %{y:.3g}, %{customdata}",
    )


def _add_proxy_panel(
    figure: go.Figure,
    measured_by_name: Mapping[str, Sequence[MeasuredPair]],
    name: str,
    is_log: bool,
    place: Mapping[str, int],
) -> None:
    """One stage: its pairs by category, and the line on which the score head is the whole gradient."""
    pairs = _drawn(measured_by_name[name], is_log)
    is_first = place == {"row": 1, "col": 1}
    every = [pair for one in measured_by_name.values() for pair in one]
    groups = grouped(pairs, _category, among=every)
    for number, (category, color) in enumerate(colored(grouped(every, _category))):
        members = groups.get(category, [])
        figure.add_scatter(
            x=[pair.scored.representation_distance for pair in members],
            y=[pair.gradient_distance for pair in members],
            mode="markers",
            marker={
                "color": faded(color, 0.4),
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "size": 8,
                "line": {"color": color, "width": 1},
            },
            name=safe(category),
            legendgroup=category,
            showlegend=is_first,
            text=[_measured_hover(pair) for pair in members],
            hoverinfo="text",
            **place,
        )
    if pairs:
        ends = [pairs[0].scored.representation_distance, pairs[-1].scored.representation_distance]
        line = {"color": GREY, "width": 1.5, "dash": "dot"}
        figure.add_scatter(
            x=ends,
            y=ends,
            mode="lines",
            line=line,
            name="score head alone",
            legendgroup="score head alone",
            showlegend=is_first,
            hoverinfo="skip",
            **place,
        )


def _drawn(measured: Sequence[MeasuredPair], is_log: bool) -> list[MeasuredPair]:
    """The pairs that a scatter shows, by distance: on a log axis those above 0, of very many some."""
    pairs = sorted(measured, key=lambda pair: pair.scored.representation_distance)
    if is_log:
        pairs = [pair for pair in pairs if pair.scored.representation_distance > 0 and pair.gradient_distance > 0]
    if len(pairs) > MOST_POINTS:
        pairs = [pairs[i] for i in np.linspace(0, len(pairs) - 1, MOST_POINTS).round().astype(int)]
    return pairs


def _not_drawn_note(measured: Sequence[MeasuredPair], is_log: bool) -> str:
    drawn = len(_drawn(measured, is_log))
    if drawn == len(measured):
        return ""
    return f"<br>{drawn:,} of {count_of_pairs(len(measured))} drawn" + (", none at distance 0" if is_log else "")


def _add_distance_bands(figure: go.Figure, records: Log, color: str, place: Mapping[str, int]) -> None:
    steps = [record["step"] for record in records]
    for low, high, opacity in BANDS:
        if _has_band(records, low, high):
            figure.add_scatter(
                x=steps + steps[::-1],
                y=[r[f"distance_{low}"] for r in records] + [r[f"distance_{high}"] for r in reversed(records)],
                fill="toself",
                fillcolor=faded(color, opacity),
                line={"width": 0},
                mode="lines",
                name=BAND_NAMES[low],
                showlegend=False,
                hoverinfo="skip",
                **place,
            )
    figure.add_scatter(
        x=steps,
        y=[record["distance_mean"] for record in records],
        mode="lines" if len(steps) > 1 else "markers",
        line={"color": color, "width": 2.5},
        name="mean",
        showlegend=False,
        hovertemplate="step %{x}: mean %{y:.3g}",
        **place,
    )


def _explain_bands(figure: go.Figure, histories: Sequence[Log]) -> None:
    """Entries of the legend in grey, because they hold for every run's colour; they draw nothing."""
    nothing: dict[str, Any] = {"x": [None], "y": [None]}
    figure.add_scatter(**nothing, mode="lines", line={"color": GREY, "width": 2.5}, name="mean")
    for low, high, opacity in reversed(BANDS):
        if any(_has_band(records, low, high) for records in histories):
            marker = {"color": faded(GREY, 0.15 + opacity), "symbol": "square", "size": 14}
            figure.add_scatter(**nothing, mode="markers", marker=marker, name=BAND_NAMES[low])


def _has_band(records: Log, low: str, high: str) -> bool:
    return all(record.get(f"distance_{edge}") is not None for record in records for edge in (low, high))


def _add_stack(
    figure: go.Figure, shares: Mapping[str, Mapping[str, float]], colors: Mapping[str, tuple[str, str]], row: int
) -> None:
    """One lying bar per category, cut into the shares of its places."""
    for place, (color, legend_name) in colors.items():
        figure.add_bar(
            y=[safe(name) for name in shares],
            x=[100 * one.get(place, 0.0) for one in shares.values()],
            orientation="h",
            marker={"color": color, "line": {"width": 0}},
            name=legend_name or place,
            showlegend=bool(legend_name),
            legend="legend" if row == 1 else "legend2",
            hovertemplate=f"{safe(place)}: %{{x:.1f}} %<extra></extra>",
            row=row,
            col=1,
        )


def _legend_beside(top: float) -> dict[str, Any]:
    return {
        "orientation": "v",
        "x": 1.03,
        "y": top,
        "traceorder": "normal",
        "xanchor": "left",
        "yanchor": "top",
        "yref": "paper",
    }


def _layer_colors(shares: Mapping[str, float]) -> dict[str, tuple[str, str]]:
    """Each place from the first to the last -> its colour and its name in the legend, empty for layers in between."""
    layers = [name for name in shares if name not in PLACE_COLORS]
    depths = dict(zip(layers, _ramp(COLORS["NormBT"], len(layers)), strict=True))
    named = {layers[0], layers[len(layers) // 2], layers[-1]} if layers else set()
    if len(layers) <= 6:
        named = set(layers)
    return {
        name: (PLACE_COLORS.get(name) or depths[name], safe(name) if name in named or name in PLACE_COLORS else "")
        for name in shares
    }


def _module_colors(shares: Mapping[str, float]) -> dict[str, tuple[str, str]]:
    """Each kind of module -> its colour and its name in the legend; attention and MLP have one colour each."""
    depths: dict[str, str] = {}
    for color, names in MODULE_GROUPS.values():
        members = [name for name in names if name in shares]
        depths |= dict(zip(members, reversed(_ramp(color, len(members))), strict=True))
    others = [name for name in shares if name not in depths and name not in PLACE_COLORS]
    depths |= {name: SPARE_COLORS[(1 + i) % len(SPARE_COLORS)] for i, name in enumerate(others)}
    return {name: (PLACE_COLORS.get(name) or depths[name], safe(name)) for name in shares}


def _mean_shares(norms: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean share of each place in the squared norm, in the order in which the places were measured."""
    squares = [{place: norm * norm for place, norm in one.items()} for one in norms]
    squares = [one for one in squares if sum(one.values()) > 0]
    places = dict.fromkeys(place for one in squares for place in one)
    return {place: float(np.mean([one.get(place, 0.0) / sum(one.values()) for one in squares])) for place in places}


def _category(pair: MeasuredPair) -> str | None:
    return pair.scored.category


def _representation_distances(measured: Iterable[MeasuredPair]) -> np.ndarray:
    return np.array([pair.scored.representation_distance for pair in measured])


def _measured_hover(pair: MeasuredPair) -> str:
    """A pair in a few lines, with what its gradient measures."""
    measured = f"{GRADIENT_DISTANCE}: {pair.gradient_distance:.3g}<br>{UPDATE_SIZE}: {pair.update_size:.3g}"
    return f"{hover_text(pair.scored)}<br>{measured}"


def _ramp(color: str, steps: int) -> list[str]:
    """One colour from pale to full: for bins and layers, which have an order."""
    return [faded(color, round(float(opacity), 3)) for opacity in np.linspace(1 if steps == 1 else 0.4, 1, steps)]


def _narrow_log_ticks(is_log: bool) -> dict[str, Any]:
    """Ticks at powers of ten, for panels too narrow for more."""
    return (
        {"type": "log", "dtick": 1, "tickformat": "~g", "exponentformat": "none"} if is_log else {"rangemode": "tozero"}
    )


def _log_or_from_zero(is_log: bool) -> dict[str, Any]:
    return {"type": "log", **plain_log_ticks(True)} if is_log else {"rangemode": "tozero"}


def _leave_room_for_panel_titles(figure: go.Figure, share: float) -> None:
    """Panels and their titles pushed down by a share of the height: in a report there is no margin above them."""
    for axis in figure.select_yaxes():
        axis.domain = [edge * (1 - share) for edge in axis.domain]
    for annotation in figure.layout.annotations:
        annotation.y *= 1 - share


def _signed(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")
