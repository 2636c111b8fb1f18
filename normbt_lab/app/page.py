"""The page: four tabs, each built by its own module, and the same functions for programs."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gradio as gr

from normbt_lab.app.api import add_api
from normbt_lab.app.models import Models
from normbt_lab.app.pair_tab import build_pair_tab
from normbt_lab.app.settings import Settings

INTRO = """
# What a reward model learns from a pair

Bradley-Terry pulls at a pair with its prediction error *times the distance* of its two answers; NormBT takes the
distance out ([arXiv 2512.06343](https://arxiv.org/abs/2512.06343)).
"""


def build_page(settings: Settings) -> gr.Blocks:
    """The page for these settings, not yet served."""
    models = Models(settings.models, settings.allow_models)
    with gr.Blocks(title="normbt_lab: what a reward model learns from a pair", analytics_enabled=False) as demo:
        gr.Markdown(INTRO, elem_classes="intro")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Pair", id="pair"):
                build_pair_tab(demo, models)
            explored: Any = None
            if explore := _module("explore"):
                with gr.Tab("Explore", id="explore"):
                    explored = explore.build_explore_tab(settings, models)
            if explored is not None and (weight := _module("weight_tab")):
                with gr.Tab("Weight", id="weight"):
                    weight.build_weight_tab(settings, models, explored)
            if training := _module("training_tab"):
                with gr.Tab("Training", id="training"):
                    training.build_training_tab(settings)
        add_api(models)
    return demo


def _module(name: str) -> Any:
    full = f"normbt_lab.app.{name}"
    return import_module(full) if find_spec(full) else None
