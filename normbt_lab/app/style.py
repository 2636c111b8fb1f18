"""How the page looks: system fonts, since nothing may be fetched, and the colours of the figures."""

from __future__ import annotations

import gradio as gr
import plotly.graph_objects as go

from normbt_lab.figures import INK

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONOSPACE = ["ui-monospace", "Menlo", "Consolas", "monospace"]

TRANSPARENT = "rgba(0,0,0,0)"

CSS = f"""
.gradio-container {{ --faint: #5b6675; max-width: 1240px !important; }}
.dark .gradio-container, .gradio-container.dark {{ --faint: #9aa6b5; }}
button[role=tab][aria-selected=true] {{ color: var(--body-text-color) !important; font-weight: 600; }}
.intro h1 {{ margin: 0 0 .2em; }}
.intro p {{ max-width: 46em; }}
/* Each paragraph runs in the direction of its own letters. */
:is(#pair-prompt, .answer) textarea, pre.tokens, .reading pre {{ unicode-bidi: plaintext; text-align: start; }}
.answer textarea {{ font-family: {", ".join(MONOSPACE)}; font-size: .86rem; }}
.verdicts {{ display: flex; flex-wrap: wrap; gap: 14px 28px; margin: 4px 0 12px; }}
.verdict {{ flex: 1 1 200px; }}
.verdict p {{ margin: 0; }}
.dot {{
  display: inline-block; width: .65em; height: .65em; border-radius: 50%; background: var(--model); margin-right: .45em;
}}
.bar {{
  height: 8px; border-radius: 4px; margin: 6px 0 2px; overflow: hidden; background: var(--border-color-primary);
}}
.bar div {{ height: 100%; background: var(--model); }}
.verdict .ends {{
  display: flex; justify-content: space-between; font-size: .78rem; color: var(--faint);
}}
.numbers :is(.problem, .notice) {{
  padding: 8px 12px !important; border-radius: 6px; margin: 0 0 10px; border-left: 4px solid;
}}
.numbers .problem {{ border-color: #c1443c !important; background: rgba(193, 68, 60, .12); overflow-wrap: anywhere; }}
.numbers .notice {{ border-color: #a07c00 !important; background: rgba(160, 124, 0, .12); }}
.hint, .hint p {{ color: var(--faint); }}
.actions {{ align-items: center; }}
.numbers, .numbers > * {{ padding: 0 !important; }}
.beside {{ position: sticky; top: 12px; align-self: flex-start; }}
.lead p {{ max-width: 48em; color: var(--faint); margin: 0; }}
.lead h4 {{ margin: 10px 0 2px; }}
.says {{ margin: 0 0 6px; }}
.diff {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 14px; }}
.diff h4 {{ margin: 0 0 4px; font-size: .82rem; font-weight: 500; color: var(--faint); }}
pre.tokens {{
  margin: 0; padding: 10px 12px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .84rem; line-height: 1.55;
  max-height: 26em; overflow-y: auto; border-radius: 6px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); font-family: {", ".join(MONOSPACE)};
}}
pre.tokens span:hover {{ background: var(--border-color-primary); }}
pre.tokens mark {{ border-radius: 3px; color: inherit; font-weight: 600; text-decoration: underline 2px; }}
pre.tokens mark.chosen {{ background: rgba(0, 158, 115, .2); text-decoration-color: #009e73; }}
pre.tokens mark.rejected {{ background: rgba(193, 68, 60, .18); text-decoration-color: #c1443c; }}
.card svg {{ width: 100%; height: auto; border-radius: 8px; }}
.narrow {{ max-width: 320px; }}
.finding p {{ font-weight: 600; }}
table.readings {{ width: 100%; border-collapse: collapse; }}
table.readings, table.readings :is(thead, tbody, tr) {{ border: 0 !important; }}
.unit {{ white-space: nowrap; font-size: .82rem; font-weight: 400; color: var(--faint); }}
table.readings th, table.readings td {{ border: 0; padding: 4px 0 0 12px; text-align: right; vertical-align: bottom; }}
table.readings thead th {{ overflow-wrap: anywhere; min-width: 4.5em; }}
table.readings :is(th[scope=row], th.group, .meaning td) {{ text-align: left; padding-left: 0; }}
table.readings th[scope=row] {{ font-weight: 500; }}
table.readings td {{ font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap; }}
table.readings .meaning td {{
  white-space: normal; font-weight: 400; font-size: .82rem; line-height: 1.35; color: var(--faint);
  padding: 0 0 6px; border-bottom: 1px solid var(--border-color-primary);
}}
table.readings th.group {{ padding-top: 18px; font-size: 1.02rem; }}
.dark .figure :is(.infolayer, .cartesianlayer) text {{ fill: {INK["dark"]} !important; }}
.dark .figure .gridlayer path {{ stroke: #3a414a !important; }}
"""


def page_css() -> str:
    """The style of the whole page, each tab's own after what all share."""
    from normbt_lab.app import explore_style

    return CSS + explore_style.CSS


def page_figure(figure: go.Figure) -> go.Figure:
    """The figure without a background of its own, so that it reads on a light page and on a dark one.

    Put it in a `gr.Plot` of class ``figure``: the style gives its text and grid the colours of a dark page there.
    """
    return figure.update_layout(paper_bgcolor=TRANSPARENT, plot_bgcolor=TRANSPARENT)


def page_theme() -> gr.themes.Base:
    """Gradio's plainest theme with system fonts; buttons are neutral, because blue and orange stand for models."""
    return gr.themes.Base(primary_hue="slate", neutral_hue="slate", font=FONTS, font_mono=MONOSPACE).set(
        button_primary_background_fill="*neutral_800",
        button_primary_background_fill_hover="*neutral_700",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*neutral_200",
        button_primary_background_fill_hover_dark="*neutral_100",
        button_primary_text_color_dark="*neutral_900",
    )
