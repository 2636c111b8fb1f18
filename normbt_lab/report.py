"""Figures and tables on one HTML page that needs nothing else: no network, no server, plotly once inside it.

The page follows the reader's light or dark setting, fits a phone, and prints.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from normbt_lab.figures import BACKGROUND, GRID, INK, theme
from normbt_lab.whole_files import write_whole


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        heading: Its title.
        text: Plain text; an empty line starts a new paragraph.
        figure: A plotly figure; its title becomes the caption above it.
        table: Rows of cells, the header first; the first column names the rows.
    """

    heading: str
    text: str = ""
    figure: go.Figure | None = None
    table: Sequence[Sequence[str]] | None = None


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Path of the page, once it is written, whole or not at all.

    All text is shown as it is, never read as HTML.

    Args:
        path: Where the page goes; an older one is replaced.
        title: Title of the page.
        sections: Its parts, in order.

    Raises:
        NormBTError: It cannot be written there.
    """
    path = Path(path)
    write_whole(path, report_page(title, sections), "the report")
    return path


def report_page(title: str, sections: Sequence[Section]) -> str:
    """The page as HTML text."""
    parts = "\n".join(_section(section, number) for number, section in enumerate(sections))
    themes = {mode: theme(mode).to_plotly_json() for mode in ("light", "dark")}
    return _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        sections=parts,
        themes=_json_element("themes", json.dumps(themes)),
        plotly=f"<script>{get_plotlyjs()}</script>" if any(section.figure for section in sections) else "",
        script=_SCRIPT,
    )


def _section(section: Section, number: int) -> str:
    paragraphs = [f"<p>{html.escape(text.strip())}</p>" for text in section.text.split("\n\n") if text.strip()]
    parts = [f"<h2>{html.escape(section.heading)}</h2>", *paragraphs]
    if section.figure is not None:
        parts.append(_figure(section.figure, number))
    if section.table is not None:
        parts.append(_table(section.table))
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _figure(figure: go.Figure, number: int) -> str:
    """A place for the figure and its data; the title stands above as text, where long ones break into lines."""
    figure = go.Figure(figure)
    finding = (figure.layout.title.text or "").replace("<br>", " ")
    figure.update_layout(title=None, template=None, autosize=True, width=None, margin={"t": 20})
    height = figure.layout.height or theme().layout.height
    caption = html.escape(html.unescape(finding))  # plotly's titles are HTML already
    plot = f'<div class="plot" id="plot-{number}" style="height:{height}px"></div>'
    data = _json_element(f"data-{number}", figure.to_json())
    return f"<figure><figcaption>{caption}</figcaption>{plot}{data}</figure>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    lines = ["<tr>" + "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header) + "</tr>"]
    for name, *cells in body:
        data = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{html.escape(name)}</th>{data}</tr>')
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _json_element(name: str, text: str) -> str:
    """JSON inside the page; `</script>` in some text of the data must not end the element."""
    return f'<script type="application/json" id="{name}">{text.replace("<", chr(92) + "u003c")}</script>'


# The policy allows what stands in the page itself and nothing from elsewhere.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<noscript><p>The figures need JavaScript; tables and text do not.</p></noscript>
{sections}
</main>
{themes}
{plotly}
<script>{script}</script>
</body>
</html>
"""

_STYLE = f"""
:root {{ --paper: {BACKGROUND["light"]}; --ink: {INK["light"]}; --line: {GRID["light"]}; --soft: #59636e; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: {BACKGROUND["dark"]}; --ink: {INK["dark"]}; --line: {GRID["dark"]}; --soft: #9aa4b0; }}
}}
@media print {{
  :root {{ --paper: {BACKGROUND["light"]}; --ink: {INK["light"]}; --line: {GRID["light"]}; --soft: #59636e; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; overflow-wrap: anywhere; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
main {{ max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }}
h1 {{ font-size: 1.6rem; line-height: 1.25; }}
h2 {{ font-size: 1.2rem; margin: 0 0 .4rem; }}
p {{ margin: .4rem 0; max-width: 45rem; }}
section {{ border-top: 1px solid var(--line); padding: 1.2rem 0; }}
figure {{ margin: .6rem 0 0; }}
figcaption {{ font-weight: 600; }}
.plot {{ width: 100%; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; margin-top: .6rem; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }}
th[scope=row], th:first-child {{ text-align: left; font-weight: 400; padding-left: 0; }}
th[scope=col] {{ color: var(--soft); font-weight: 600; }}
@media print {{
  section {{ break-inside: avoid; }}
  main {{ max-width: none; padding: 0; }}
  .modebar {{ display: none; }}
}}
"""

_SCRIPT = """
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const themes = read("themes");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = [...document.querySelectorAll(".plot")];
  const figures = plots.map((plot) => read(plot.id.replace("plot", "data")));
  const draw = (mode) => plots.forEach((plot, i) => Plotly.react(
    plot, figures[i].data, { ...figures[i].layout, template: themes[mode] },
    { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] }));
  const drawAsSet = () => draw(dark.matches ? "dark" : "light");
  drawAsSet();
  dark.addEventListener("change", drawAsSet);
  addEventListener("beforeprint", () => draw("light"));
  addEventListener("afterprint", drawAsSet);
})();
"""
