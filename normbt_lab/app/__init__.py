"""The Gradio page: pairs of answers, data sets and runs through the eyes of reward models."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from normbt_lab.app.settings import LARGEST_UPLOAD, LONGEST_QUEUE, MOST_VISITORS, Settings
from normbt_lab.errors import NormBTError

if TYPE_CHECKING:
    import gradio as gr

__all__ = ["Settings", "build_app", "launch", "serve"]

# Gradio reads it when it is imported, so it stands before any import of it: the page tells no one that it runs.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


def build_app(settings: Settings | None = None) -> gr.Blocks:
    """The page, not yet served; nothing is loaded before the first pair is scored.

    Args:
        settings: What the owner decides. Where it names no models, the page offers those of `default_paths`; where
            these do not exist either, it says how to get them.

    Raises:
        UsageError: A model is named twice, or there is none by a name.
    """
    from dataclasses import replace

    from normbt_lab.app.models import default_paths, require_models

    settings = settings or Settings()
    require_models(settings.models)  # before Gradio is imported, which takes seconds

    from normbt_lab.app.page import build_page

    return build_page(replace(settings, models=settings.models or default_paths()))


def serve(demo: gr.Blocks, share: bool = False, port: int | None = None) -> None:
    """Serve a page that `build_app` made, until the process is stopped.

    Args:
        demo: The page.
        share: Also open a public address; always in Colab, where the page cannot be reached otherwise.
        port: Where it listens; None for the first free one from 7860.

    Raises:
        NormBTError: The port is taken.
    """
    from normbt_lab.app.style import page_css, page_theme

    demo.queue(default_concurrency_limit=4, max_size=LONGEST_QUEUE)
    try:
        demo.launch(
            share=share or _in_colab(),
            server_port=port,
            theme=page_theme(),
            css=page_css(),
            footer_links=["api", "settings"],
            run_history=False,  # what is pasted here stays in the page, not in a list beside it
            max_file_size=LARGEST_UPLOAD,
            state_session_capacity=MOST_VISITORS,
        )
    except OSError as error:
        if port is None or "port" not in str(error):
            raise
        raise NormBTError(f"port {port} is taken, perhaps by this page in another terminal: name another") from error


def launch(settings: Settings | None = None, share: bool = False, port: int | None = None) -> None:
    """Build the page and serve it: what `normbt app` runs.

    Args:
        settings: As `build_app` takes them.
        share: As `serve` takes it.
        port: As `serve` takes it.
    """
    serve(build_app(settings), share=share, port=port)


def _in_colab() -> bool:
    try:
        return find_spec("google.colab") is not None
    except ModuleNotFoundError:  # not even a package named google
        return False
