"""The Weight tab: pairs weighed anew, whose update it becomes, a head retrained; and sliders moved in a browser."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from app_server import needs_browser, screenshot, serving, tiny_reward_models, visiting
from torch.nn.functional import cosine_similarity

from normbt_lab.app.explore_scores import bundled_source, explore_pairs
from normbt_lab.app.head_laboratory import LaboratorySettings, compare_heads, halves, judged
from normbt_lab.app.head_laboratory_figures import head_accuracy_figure, head_finding
from normbt_lab.app.weight_tab_figures import update_share_figure, weight_curve_figure
from normbt_lab.app.weight_tab_numbers import (
    QUANTITIES,
    UpdateShares,
    WeightSettings,
    effective_pairs,
    quantities_of,
    update_shares,
    weight_facts,
)
from normbt_lab.app.weight_tab_table import shares_html
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.intervals import Estimate
from normbt_lab.experiments.head_only import train_head
from normbt_lab.model import load_reward_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny_reward_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def explored(folders):
    reward_model = load_reward_model(folders["bt"])
    return explore_pairs("BT", lambda: nullcontext(reward_model), bundled_source("test", 40))


def of_rule(explored, **changed):
    rule = explored.rule
    return replace(WeightSettings("normbt", rule.running_mean, rule.norm_alpha, rule.norm_eps), **changed)


# Weights and shares


def test_the_models_own_settings_give_the_weights_of_the_records(explored):
    weights = of_rule(explored).weights(quantities_of(explored, "normbt"))
    assert weights.tolist() == pytest.approx([pair.weight for pair in explored.scored], rel=1e-9)


def test_every_slider_does_what_it_says():
    distances = np.array([1.0, 2.0, 4.0])
    settings = WeightSettings("normbt", running_mean=2.0, norm_eps=0.0)
    assert settings.weights(distances).tolist() == [2.0, 1.0, 0.5]
    assert replace(settings, norm_alpha=0.0).weights(distances).tolist() == [1.0, 1.0, 1.0]
    assert replace(settings, norm_alpha=2.0).weights(distances).tolist() == [4.0, 1.0, 0.25]
    assert replace(settings, running_mean=4.0).weights(distances).tolist() == [4.0, 2.0, 1.0]
    assert replace(settings, norm_eps=1.0).weights(distances).tolist() == pytest.approx([1.0, 2 / 3, 0.4])
    assert replace(settings, max_weight=1.5).weights(distances).tolist() == [1.5, 1.0, 0.5]
    assert replace(settings, weighting="d_opt").weights(distances).tolist() == [0.5, 1.0, 2.0]  # weighs far pairs up


def test_each_kind_of_distance_is_measured_on_the_explored_representations(explored):
    outputs = explored.outputs
    cosine = 1 - cosine_similarity(outputs.h_chosen.double(), outputs.h_rejected.double(), dim=-1)
    assert quantities_of(explored, "cosine") == pytest.approx(cosine.numpy(), abs=1e-6)
    average = (outputs.average_chosen - outputs.average_rejected).norm(dim=-1)
    assert quantities_of(explored, "average_pool") == pytest.approx(average.numpy(), rel=1e-5)
    error, distance = outputs.prediction_error, outputs.representation_distance
    assert quantities_of(explored, "d_opt") == pytest.approx((error * (1 - error) * distance**2).numpy(), rel=1e-3)


def test_no_quantity_is_below_zero_whatever_rounding_does(explored):
    h = explored.outputs.h_chosen
    alike = replace(explored, outputs=replace(explored.outputs, h_rejected=h.clone()))
    assert (quantities_of(alike, "cosine") >= 0).all()
    weights = WeightSettings("cosine", 0.1, norm_alpha=0.5).weights(quantities_of(alike, "cosine"))
    assert np.isfinite(weights).all() and (weights > 0).all()


def test_shares_of_the_update_worked_out_by_hand(explored):
    pairs = [
        replace(explored.scored[0], category="chat", prediction_error=0.5, representation_distance=8.0),  # update 4
        replace(explored.scored[1], category="chat", prediction_error=0.25, representation_distance=8.0),  # update 2
        replace(
            explored.scored[2], category="reasoning", prediction_error=0.5, representation_distance=4.0
        ),  # update 2
    ]
    shares = update_shares(replace(explored, scored=pairs), np.array([0.5, 0.5, 1.0]))  # weighted: 2, 1, 2
    assert shares == {"chat": UpdateShares(2 / 3, 0.75, 0.6), "reasoning": UpdateShares(1 / 3, 0.25, 0.4)}
    assert "75.0&nbsp;%" in shares_html(shares) and "60.0&nbsp;%" in shares_html(shares)


def test_the_share_of_uncategorised_pairs_is_not_called_that_of_all(explored):
    pairs = [replace(pair, category=name) for pair, name in zip(explored.scored, ("chat", None, None), strict=False)]
    assert list(update_shares(replace(explored, scored=pairs), np.ones(3))) == ["chat", "uncategorised"]
    settings, quantities = of_rule(explored), quantities_of(replace(explored, scored=pairs), "normbt")
    figure = weight_curve_figure(pairs, quantities, settings.weights(quantities), settings)
    assert {trace.name for trace in figure.data if trace.mode == "markers"} == {"chat", "uncategorised"}


def test_full_strength_leaves_each_category_its_share_of_the_prediction_error(explored):
    weights = of_rule(explored, norm_eps=0.0).weights(quantities_of(explored, "normbt"))
    errors = {}
    for pair in explored.scored:
        errors[pair.category] = errors.get(pair.category, 0.0) + pair.prediction_error
    for name, share in update_shares(explored, weights).items():
        assert share.weighted == pytest.approx(errors[name] / sum(errors.values()))


def test_equal_updates_are_shared_by_all_pairs():
    assert effective_pairs(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_pairs(np.array([3.0, 0.0])) == pytest.approx(1)


def test_pull_and_shares_are_untouched_at_strength_zero(explored):
    weights = of_rule(explored, norm_alpha=0.0).weights(quantities_of(explored, "normbt"))
    assert weight_facts(explored, weights)["total pull, of Bradley-Terry's"] == "100 %"
    for share in update_shares(explored, weights).values():
        assert share.weighted == pytest.approx(share.bradley_terry)


@pytest.mark.parametrize("weighting", QUANTITIES)
def test_pairs_lie_on_the_curve(explored, weighting):
    quantities = quantities_of(explored, weighting)
    settings = WeightSettings(weighting, running_mean=float(quantities.mean()), norm_alpha=0.5)
    figure = weight_curve_figure(explored.scored, quantities, settings.weights(quantities), settings)
    (curve,) = (trace for trace in figure.data if trace.mode == "lines")
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert sum(len(trace.x) for trace in points) == (quantities > 0).sum()
    for trace in points:
        on_curve = np.exp(np.interp(np.log(trace.x), np.log(curve.x), np.log(curve.y)))
        assert list(trace.y) == pytest.approx(on_curve, rel=1e-3)


def test_the_share_figure_draws_the_numbers_of_the_table():
    shares = {"chat": UpdateShares(0.2, 0.5, 0.3), "safety": UpdateShares(0.8, 0.5, 0.7)}
    drawn = {trace.name: list(trace.y) for trace in update_share_figure(shares).data}
    assert drawn["of the Bradley-Terry update"] == [50.0, 50.0]
    assert drawn["of the update with these weights"] == [30.0, 70.0]


# The head laboratory


def test_pairs_of_one_problem_are_never_on_both_sides_and_categories_are_spread(explored):
    training, held_out = halves(explored)
    assert sorted([*training, *held_out]) == list(range(40))
    problems = [{explored.pairs[i].row["problem"] for i in side} for side in (training, held_out)]
    assert not problems[0] & problems[1]
    for category in ("chat", "chat hard", "safety", "reasoning"):
        assert {explored.pairs[i].category == category for i in training} == {True, False}
        assert any(explored.pairs[i].category == category for i in held_out)


def test_weights_of_strength_zero_train_the_very_same_head(explored):
    found = compare_heads(explored, WeightSettings(norm_alpha=0.0), LaboratorySettings(epochs=2))
    assert found.gain == Estimate(0.0, 0.0, 0.0)
    assert found.uniform == found.weighted
    assert found.trained_on + found.uniform.overall.pairs == 40


def test_a_head_learns_what_separates_the_pairs_and_is_measured_on_others(explored):
    """Representations that say in one coordinate which answer was chosen: any head finds it."""
    said = torch.zeros(40, 4)
    said[:, 0] = torch.linspace(1, 3, 40)
    separable = replace(explored, outputs=replace(explored.outputs, h_chosen=said, h_rejected=-said))
    found = compare_heads(separable, WeightSettings(), LaboratorySettings(learning_rate=0.1))
    assert found.weighted.overall.strict == found.uniform.overall.strict == 1.0


def test_the_records_of_a_head_hold_its_error_and_not_that_of_the_explored_model(explored):
    run = train_head(explored.outputs, epochs=3)
    outputs, records = run.outputs(explored.outputs), judged(run, explored, range(40))
    error = [pair.prediction_error for pair in records]
    assert error == pytest.approx(torch.sigmoid(-outputs.reward_difference).tolist(), abs=1e-6)
    assert [pair.preference_probability for pair in records] == pytest.approx([1 - each for each in error])
    assert max(abs(new - old.prediction_error) for new, old in zip(error, explored.scored, strict=True)) > 1e-3


def test_the_same_seed_gives_the_same_heads_and_it_stands_in_the_title(explored):
    weights = WeightSettings("cosine", norm_alpha=1.0)
    first, again = (compare_heads(explored, weights, LaboratorySettings(epochs=3, seed=5)) for _ in range(2))
    assert first == again
    assert "seed 5" in head_finding(first) and "95 % interval" in head_finding(first)
    groups = head_accuracy_figure(first).data[0].x
    assert len(groups) == 5 and groups[0].startswith("all pairs")


def test_what_the_laboratory_cannot_train_on_is_said(explored):
    unrated = replace(explored, pairs=[replace(pair, margin=None) for pair in explored.pairs])
    with pytest.raises(UsageError, match="a column margin"):
        compare_heads(unrated, WeightSettings(), LaboratorySettings("margin"))
    few = replace(explored, pairs=explored.pairs[:19], scored=explored.scored[:19])
    with pytest.raises(UsageError, match="needs 20 or more"):
        compare_heads(few, WeightSettings(), LaboratorySettings())
    with pytest.raises(NormBTError, match="lower learning_rate"):
        compare_heads(explored, WeightSettings(), LaboratorySettings("label_smoothing", learning_rate=1e38))


# In a browser


@pytest.fixture(scope="module")
def address(folders, tmp_path_factory):
    with serving("--model", folders["bt"], folder=tmp_path_factory.mktemp("page")) as address:
        yield address


@needs_browser
def test_a_person_moves_a_slider_and_retrains_the_head(address):
    with visiting(address) as page:
        page.set_default_timeout(120_000)  # the first score imports torch, which a busy machine takes its time for
        page.get_by_role("tab", name="Weight").click()
        page.locator("#weight-status", has_text="Nothing is explored yet").wait_for()
        page.get_by_role("tab", name="Explore").click()
        page.locator("#explore-score").click()
        page.locator("#explore-plane .point").first.wait_for()

        page.get_by_role("tab", name="Weight").click()
        page.locator("#weight-curve .point").first.wait_for()
        before = columns_of_shares(page)
        assert before[1] != before[2]
        alpha = page.locator("#weight-alpha input[type=number]")
        alpha.fill("0")
        alpha.press("Enter")
        page.locator("#weight-table", has_text="of Bradley-Terry's 100 %").wait_for()
        after = columns_of_shares(page)
        assert after[2] == after[1] == before[1]  # without strength the weights change nothing

        alpha.fill("1")
        alpha.press("Enter")
        page.locator("#head-train").click()
        page.locator("#head-accuracy .point").first.wait_for()
        screenshot(page, "weight-1280-light")


def columns_of_shares(page):
    """Shares of the pairs, of the Bradley-Terry update and of the weighted one, as the table shows them."""
    rows = page.locator("#weight-table tbody tr").all()
    cells = [row.locator("td").all_inner_texts() for row in rows]
    return [list(column) for column in zip(*cells, strict=True)]
