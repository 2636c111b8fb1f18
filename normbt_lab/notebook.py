"""What a notebook needs around its lesson: the machine in a few lines, figures that show everywhere, checked answers.

A figure goes out in three forms at once, and each viewer takes the best it can show: plotly's own data (JupyterLab,
VS Code, Colab), a small HTML page that fetches plotly's library from the web (exported pages), and a picture (GitHub,
and wherever no script runs). The library itself, 4.8 MB, is in none of them.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import platform
import re
import sys
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import plotly.graph_objects as go
import plotly.io
import torch
from tqdm import TqdmWarning

from normbt_lab.evaluation.tables import aligned
from normbt_lab.figures import theme
from normbt_lab.precision import Precision, choose_precision

WIDTH = 760
"""Width of a static picture in pixels: a notebook's column."""

SHOWN_VERSIONS = ("normbt-lab", "torch", "transformers", "plotly")

SMOKE = "smoke"
"""The profile that tests run: nobody looks at its figures, so they get no pictures."""


@dataclass(frozen=True)
class Machine:
    """Where a notebook computes, and in which arithmetic its long forward passes run."""

    device: torch.device
    precision: Precision


def setup(seed: int = 0) -> Machine:
    """The machine this notebook runs on, printed with versions, after seeding.

    Args:
        seed: Seed of Python's, NumPy's and torch's random numbers.
    """
    _quiet_imports()
    from transformers import set_seed

    set_seed(seed)
    machine = Machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"), choose_precision())
    kind = torch.cuda.get_device_name(0) if machine.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    rows = [
        ["setting", "value"],
        ["device", f"{machine.device.type} ({kind})"],
        ["arithmetic", f"{str(machine.precision.dtype).removeprefix('torch.')} ({machine.precision.reason})"],
        ["seed", str(seed)],
        ["Python", platform.python_version()],
        *([name, version(name)] for name in SHOWN_VERSIONS),
        ["static pictures", _start_static_pictures()],
    ]
    print(aligned(rows))
    return machine


def titled_figure(finding: str, x: str, y: str, height: int = 400) -> go.Figure:
    """An empty figure in the project's look.

    Args:
        finding: The title: what the figure shows, computed from the data at hand.
        x: Title of the horizontal axis, with its unit.
        y: Title of the vertical axis, with its unit.
        height: In pixels.

    Example:
        >>> titled_figure("A line that rises", "steps", "reward (log-odds)").layout.xaxis.title.text
        'steps'
    """
    title = "<br>".join(
        html.escape(line, quote=False) for line in textwrap.wrap(finding, width=84, break_on_hyphens=False)
    )
    figure = go.Figure()
    figure.update_layout(template=theme(), title={"text": title}, height=height)
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    return figure


def show_table(columns: Mapping[str, Sequence[Any] | torch.Tensor], digits: int = 3) -> None:
    """Print columns side by side.

    Args:
        columns: Header -> one value per row: text, whole numbers, or numbers that are rounded.
        digits: Decimals of the latter.

    Example:
        >>> show_table({"pair": ["a", "b"], "d": torch.tensor([1.0, 0.25])}, digits=2)
        pair     d
        ----------
        a     1.00
        b     0.25
    """
    cells = [[name, *(_cell(value, digits) for value in _plain(values))] for name, values in columns.items()]
    print(aligned([list(row) for row in zip(*cells, strict=True)]))


def show(figure: go.Figure) -> None:
    """Show a figure under the cell, in every form that a viewer may want.

    Its title, which states the finding, is also the picture's text for readers who do not see it.
    """
    from IPython.display import display

    alt = _alt_text(figure)
    picture = _static_picture(figure)
    forms: dict[str, Any] = {
        "application/vnd.plotly.v1+json": json.loads(figure.to_json()),
        "text/html": _page(figure, picture, alt),
        "text/plain": f"Figure: {alt}",
    }
    if picture is not None:
        forms["image/png"] = picture
    # The picture is drawn with more pixels than it is wide, for sharp letters; viewers ask here how wide.
    size = {"width": WIDTH, "height": _height(figure)}
    display(forms, raw=True, metadata={"image/png": {"alt": alt, **size}} if picture else None)


def check_answer(yours: Any, solution: Any) -> str:
    """What a notebook says to an answer: nothing given yet, or right.

    Args:
        yours: A number or tensor; None before there is an answer.
        solution: What the folded solution computed.

    Raises:
        AssertionError: They differ; the message shows both.

    Example:
        >>> check_answer(None, 0.5)
        'No answer yet: replace None and run the cell again.'
        >>> check_answer(0.5, torch.tensor(0.5))
        'Right.'
    """
    if yours is None:
        return "No answer yet: replace None and run the cell again."
    answer = torch.as_tensor(yours, dtype=torch.float64)
    expected = torch.as_tensor(solution, dtype=torch.float64)
    if answer.shape != expected.shape:
        raise AssertionError(f"expected shape {tuple(expected.shape)}, got {tuple(answer.shape)}")
    if not torch.allclose(answer, expected, rtol=1e-3, atol=1e-3):
        raise AssertionError(f"not yet: yours is {answer.tolist()}. Open the hint, or the solution.")
    return "Right."


def _quiet_imports() -> None:
    """Hide two reports that come with importing transformers and mean nothing for a lesson."""
    # A bar as text is what a saved notebook can show; without ipywidgets tqdm warns that it is not a widget.
    warnings.filterwarnings("ignore", category=TqdmWarning)
    # bitsandbytes reports on kernels of its own that nothing here uses.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)


def _plain(values: Sequence[Any] | torch.Tensor) -> Sequence[Any]:
    return values.tolist() if isinstance(values, torch.Tensor) else values


def _cell(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _page(figure: go.Figure, picture: str | None, alt: str) -> str:
    """The figure as HTML; its picture stands there until the script has drawn."""
    waiting, then = "", None
    if picture is not None:
        waiting = (
            f'<img class="static-figure" width="100%" alt="{html.escape(alt)}" src="data:image/png;base64,{picture}">'
        )
        then = "document.getElementById('{plot_id}').closest('.figure').querySelector('.static-figure').remove();"
    drawn = plotly.io.to_html(figure, include_plotlyjs="cdn", include_mathjax=False, full_html=False, post_script=then)
    return f'<div class="figure">{waiting}{drawn}</div>'


def _alt_text(figure: go.Figure) -> str:
    title = html.unescape(re.sub(r"<br>\s*", " ", figure.layout.title.text or "untitled"))
    axes = [axis.title.text for axis in (figure.layout.xaxis, figure.layout.yaxis) if axis.title.text]
    return f"{title} (axes: {', '.join(re.sub('<br>', ' ', axis) for axis in axes)})" if axes else title


_browser_is_running = False


def _start_static_pictures() -> str:
    """Whether pictures will be drawn, for the table. One browser stays for the notebook: starting it takes seconds."""
    global _browser_is_running
    if os.environ.get("NORMBT_PROFILE") == SMOKE:
        return "no (smoke profile)"
    if "google.colab" in sys.modules:
        return "no (Colab shows the interactive ones)"
    try:
        import kaleido

        if not _browser_is_running:
            kaleido.start_sync_server(silence_warnings=True)
            kaleido.calc_fig_sync(go.Figure())
            _browser_is_running = True
    except Exception:  # no kaleido, no browser, a browser that does not start: each has its own kind, none matters
        return "no (they need kaleido and a Chrome or Chromium)"
    return "yes"


def _height(figure: go.Figure) -> int:
    return figure.layout.height or figure.layout.template.layout.height or 440


def _static_picture(figure: go.Figure) -> str | None:
    """The figure as base64 PNG, or None where it cannot be drawn."""
    if not _browser_is_running:
        return None
    import kaleido

    options = {"format": "png", "width": WIDTH, "height": _height(figure), "scale": 1.5}
    return base64.b64encode(kaleido.calc_fig_sync(figure, opts=options)).decode()
