"""How figures and single pairs stand on the page, in the three tabs that draw many pairs."""

from __future__ import annotations

import gradio as gr
import plotly.graph_objects as go

from normbt_lab.app.style import TRANSPARENT, page_figure

CSS = """
.pictured { gap: 4px !important; }
.finding, .finding > * { padding: 0 !important; }
.finding p { font-weight: 600; font-size: 1.02rem; line-height: 1.35; margin: 0; }
.lead p { max-width: 48em; }
.steps { align-items: center; }
.place p { margin: 0; text-align: center; color: var(--faint); font-variant-numeric: tabular-nums; }
.reading h3 { margin: 0 0 4px; font-size: 1.02rem; font-weight: 600; overflow-wrap: anywhere; }
.reading h4 { margin: 12px 0 4px; font-size: .82rem; font-weight: 500; color: var(--faint); }
.reading pre {
  margin: 0; padding: 8px 10px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .84rem; line-height: 1.45;
  max-height: 22em; overflow-y: auto; border-radius: 6px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary);
}
.wide { overflow-x: auto; }
.wide table { min-width: 620px; }
.dark .figure .zerolinelayer path { stroke: #3a414a !important; }
.facts { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0; }
.facts span { font-size: .88rem; color: var(--faint); }
.facts b { color: var(--body-text-color); font-variant-numeric: tabular-nums; }
.figure .modebar-btn--logo { display: none; }
.shares { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.shares, .shares :is(thead, tbody, tr) { border: 0 !important; }
.shares :is(th, td) {
  border: 0; border-bottom: 1px solid var(--border-color-primary); padding: 5px 0 5px 12px; text-align: right;
}
.shares :is(th, td):first-child { text-align: left; padding-left: 0; font-weight: 500; }
.shares thead th { font-weight: 500; font-size: .82rem; color: var(--faint); vertical-align: bottom; }
"""


MODEBAR = {
    "bgcolor": TRANSPARENT,
    "color": "#888888",
    "activecolor": "#555555",
    "remove": ["select", "lasso", "autoscale", "pan", "zoomin", "zoomout"],
}
"""Plotly's buttons, without those that a page has no use for."""


def figure_place(elem_id: str, scale: int = 1) -> tuple[gr.HTML, gr.Plot]:
    """A column where a figure will stand: its finding as text, which breaks into lines on a phone, the plot below.

    Fill both with `drawn`.
    """
    with gr.Column(min_width=320, scale=scale, elem_classes="pictured"):
        caption = gr.HTML(elem_classes="finding")
        plot = gr.Plot(visible=False, show_label=False, container=False, elem_classes="figure", elem_id=elem_id)
    return caption, plot


def drawn(figure: go.Figure | None) -> tuple[str, gr.Plot]:
    """A figure for its place: its title as caption, the rest as plot; nothing visible where there is no figure."""
    if figure is None:
        return "", gr.Plot(visible=False)
    # Plotly's titles are HTML already. A number stays with its percent sign where the line breaks.
    finding = (figure.layout.title.text or "").replace("<br>", " ").replace(" %", "&nbsp;%")
    # A finger that scrolls the page must not zoom the figure; a button switches that on.
    figure.update_layout(title=None, margin={"t": 14}, modebar=MODEBAR, dragmode=False)
    return f"<p>{finding}</p>", gr.Plot(page_figure(figure), visible=True)
