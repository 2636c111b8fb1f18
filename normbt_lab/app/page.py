"""The page: four tabs, each built by its own module, and the same functions for programs."""

from __future__ import annotations

import gradio as gr

from normbt_lab.app.api import add_api
from normbt_lab.app.explore import build_explore_tab
from normbt_lab.app.models import Models
from normbt_lab.app.pair_tab import build_pair_tab
from normbt_lab.app.settings import Settings
from normbt_lab.app.training_tab import build_training_tab
from normbt_lab.app.weight_tab import build_weight_tab

INTRO = """
# What a reward model learns from a pair

Bradley-Terry pulls at a pair with its prediction error *times the distance* of its two answers; NormBT takes the
distance out ([arXiv 2512.06343](https://arxiv.org/abs/2512.06343)).
"""

FILES_KEPT = (600, 3600)
"""Every so many seconds, files of visitors that are older than so many seconds are removed."""


def build_page(settings: Settings) -> gr.Blocks:
    """The page for these settings, not yet served."""
    models = Models(settings.models, settings.allow_models)
    title = "normbt_lab: what a reward model learns from a pair"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=FILES_KEPT) as demo:
        gr.Markdown(INTRO, elem_classes="intro")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Pair", id="pair"):
                build_pair_tab(demo, models)
            with gr.Tab("Explore", id="explore"):
                explored = build_explore_tab(settings, models)
            with gr.Tab("Weight", id="weight"):
                build_weight_tab(settings, models, explored)
            with gr.Tab("Training", id="training"):
                build_training_tab(settings)
        add_api(models)
    return demo
