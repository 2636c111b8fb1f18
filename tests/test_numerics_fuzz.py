"""Weights and objectives at the edges of the number formats, against arithmetic with 60 digits (mpmath).

Where the exact value fits the result's format, the result is finite and close; where the input is no number, what
computes a training step says so.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import mpmath
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from normbt_lab.drop_in import WeightState, normbt_weights
from normbt_lab.errors import NormBTError
from normbt_lab.objectives import OBJECTIVES, reward_centering
from normbt_lab.representations import PairOutputs, representation_distance
from normbt_lab.weights import RunningMean, cosine_distance, d_opt_score, normbt_weight, pair_weights

mpmath.mp.dps = 60

FORMATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
fuzz = settings(max_examples=150, deadline=None, derandomize=True)


def at_least_float32(dtype):
    return torch.float64 if dtype == torch.float64 else torch.float32


def held(values, dtype):
    """The numbers as the format holds them, as a tensor and exactly."""
    tensor = torch.tensor(values, dtype=torch.float64).to(dtype)
    return tensor, [mpmath.mpf(value) for value in tensor.double().tolist()]


def assert_close_where_it_fits(result, exact, dtype, tolerance=1e-5):
    """Within a relative tolerance where the exact value is a normal number of the format; never NaN."""
    info = torch.finfo(dtype)
    for value, wanted in zip(result.double().tolist(), exact, strict=True):
        assert not math.isnan(value), wanted
        if abs(wanted) < info.max * 0.999:
            assert math.isfinite(value), wanted
            # Below the smallest normal number digits are lost, down to 0.
            assert abs(value - wanted) <= tolerance * abs(wanted) + info.tiny, (value, wanted)


edges = st.sampled_from([0.0, 5e-324, 1e-45, 1e-40, 1e-30, 1e-8, 1.0, 1e4, 1e30, 1e38])
distances = edges | st.floats(0, 1e38)
rewards = st.sampled_from([0.0, -0.0, 1e-30, 17.0, -17.0, 104.0, -104.0, 1e4, -1e4]) | st.floats(-1e4, 1e4)
formats = st.sampled_from(FORMATS)


# Weights --------------------------------------------------------------------------------------------------------------


@fuzz
@given(
    dtype=formats,
    values=st.lists(distances, min_size=1, max_size=4),
    mean=st.sampled_from([1e-30, 1e-8, 1.0, 37.5, 1e30]) | st.floats(1e-6, 1e6),
    alpha=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
    eps=st.sampled_from([1e-8, 1e-3, 1e-30]),
    bound=st.none() | st.sampled_from([1.0, 100.0]),
)
@example(torch.float16, [0.0], 1.0, 1.0, 1e-8, None)  # an epsilon of 1e-8 is 0 in float16
@example(torch.float32, [1e-30], 1e30, 0.5, 1e-30, None)  # the ratio is 1e60, its root is not
def test_a_weight_is_what_exact_arithmetic_says(dtype, values, mean, alpha, eps, bound):
    distance, exact = held([min(value, 6e4) if dtype == torch.float16 else value for value in values], dtype)
    wanted = [(mpmath.mpf(mean) / (d + mpmath.mpf(eps))) ** mpmath.mpf(alpha) for d in exact]
    if bound is not None:
        wanted = [min(value, mpmath.mpf(bound)) for value in wanted]
    weights = normbt_weight(distance, mean, alpha, eps, bound)
    assert weights.dtype == at_least_float32(dtype) and not weights.requires_grad
    assert_close_where_it_fits(weights, wanted, weights.dtype)


@fuzz
@given(dtype=formats, values=st.lists(distances, min_size=1, max_size=4), alpha=st.sampled_from([0.5, 1.0, 2.0]))
def test_a_weight_that_grows_with_its_quantity_is_what_exact_arithmetic_says(dtype, values, alpha):
    quantity, exact = held([min(value, 6e4) if dtype == torch.float16 else value for value in values], dtype)
    wanted = [(q / (mpmath.mpf(3) + mpmath.mpf(1e-8))) ** mpmath.mpf(alpha) for q in exact]
    weights = pair_weights(quantity, "d_opt", running_mean=3.0, norm_alpha=alpha)
    assert_close_where_it_fits(weights, wanted, weights.dtype)


@fuzz
@given(dtype=formats, bad=st.sampled_from([math.nan, math.inf]), alpha=st.sampled_from([0.5, 1.0]))
def test_a_distance_that_is_no_number_gives_no_weight_that_looks_like_one(dtype, bad, alpha):
    weight = normbt_weight(torch.tensor([bad], dtype=dtype), 2.0, alpha).item()
    assert math.isnan(weight) if math.isnan(bad) else weight == 0  # infinitely far apart


# Distances ------------------------------------------------------------------------------------------------------------

# The squares of float64 numbers below 1e-154 are 0 in any format here; no float32 number is that small.
coordinates = st.sampled_from([0.0, 1e-45, 1e-30, 1e-20, 1.0, -1.0, 1e20, 1e30, -1e30]) | st.floats(-1e4, 1e4, width=32)
vectors = st.integers(1, 6).flatmap(lambda size: st.tuples(*[st.lists(coordinates, min_size=size, max_size=size)] * 2))


@fuzz
@given(dtype=formats, pair=vectors)
@example(torch.float32, ([1e30, 0.0], [0.0, 0.0]))  # its square is 1e60
@example(torch.float32, ([3e-30, 4e-30], [0.0, 0.0]))  # its square is 0
def test_a_distance_is_what_exact_arithmetic_says(dtype, pair):
    if dtype == torch.float16:
        pair = tuple([max(-6e4, min(6e4, value)) for value in side] for side in pair)
    (chosen, exact_chosen), (rejected, exact_rejected) = (held(side, dtype) for side in pair)
    # The subtraction is rounded to the working format, as any subtraction is; that of close numbers is exact.
    working = at_least_float32(dtype)
    apart = [
        mpmath.mpf(torch.tensor(float(a - b), dtype=working).item())
        for a, b in zip(exact_chosen, exact_rejected, strict=True)
    ]
    wanted = mpmath.sqrt(sum(value**2 for value in apart))
    distance = representation_distance(chosen[None], rejected[None])
    assert distance.dtype == working
    assert_close_where_it_fits(distance, [wanted], working)


@fuzz
@given(
    pair=st.integers(2, 8).flatmap(lambda n: st.tuples(*[st.lists(st.floats(-1e3, 1e3), min_size=n, max_size=n)] * 2)),
    nudge=st.sampled_from([0.0, 1e-7, 1e-4, 1.0]),
)
@example(([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]), 1e-7)
def test_the_cosine_distance_of_close_pairs_is_exact_and_never_below_zero(pair, nudge):
    h_chosen, exact = held(pair[0], torch.float32)
    h_rejected, exact_rejected = held([a + nudge * b for a, b in zip(*pair, strict=True)], torch.float32)
    lengths = [mpmath.sqrt(sum(x**2 for x in side)) for side in (exact, exact_rejected)]
    distance = cosine_distance(outputs(h_chosen[None], h_rejected[None]))
    assert 0 <= distance.item() <= 2.000001
    assert normbt_weight(distance).item() > 0
    if min(lengths) > 1e-3:
        wanted = 1 - sum(a * b for a, b in zip(exact, exact_rejected, strict=True)) / (lengths[0] * lengths[1])
        assert distance.item() == pytest.approx(float(wanted), rel=1e-5, abs=1e-30)


@fuzz
@given(d=rewards, distance=st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e15, 1e25]))
@example(80.0, 1e25)  # sigma(-80) is 1.8e-35, the square of the distance is beyond float32, their product is 1.8e15
def test_the_d_optimal_score_is_what_exact_arithmetic_says(d, distance):
    held_d, (exact_d,) = held([d], torch.float32)
    h, (exact_distance,) = held([distance], torch.float32)
    probability = 1 / (1 + mpmath.exp(-exact_d))
    wanted = probability * (1 - probability) * exact_distance**2
    score = d_opt_score(outputs(h[None], torch.zeros(1, 1), held_d, torch.zeros(1)))
    assert_close_where_it_fits(score, [wanted], torch.float32)


def outputs(h_chosen, h_rejected, reward_chosen=None, reward_rejected=None):
    none = torch.zeros(len(h_chosen))
    return PairOutputs(
        none if reward_chosen is None else reward_chosen,
        none if reward_rejected is None else reward_rejected,
        h_chosen,
        h_rejected,
    )


# Objectives -----------------------------------------------------------------------------------------------------------


def exact_loss(name, d, margin, smoothing):
    def minus_log_sigmoid(x):
        return mpmath.log1p(mpmath.exp(-x)) if x > 0 else -x + mpmath.log1p(mpmath.exp(x))

    return {
        "bradley_terry": lambda: minus_log_sigmoid(d),
        "margin": lambda: minus_log_sigmoid(d - margin),
        "margin_outside": lambda: margin * minus_log_sigmoid(d),
        "label_smoothing": lambda: (1 - smoothing) * minus_log_sigmoid(d) + smoothing * minus_log_sigmoid(-d),
    }[name]()


def exact_derivative(name, d, margin, smoothing):
    def error(x):
        return 1 / (1 + mpmath.exp(x))

    return {
        "bradley_terry": lambda: -error(d),
        "margin": lambda: -error(d - margin),
        "margin_outside": lambda: -margin * error(d),
        "label_smoothing": lambda: smoothing - error(d),
    }[name]()


@fuzz
@given(
    name=st.sampled_from(list(OBJECTIVES)),
    dtype=formats,
    values=st.lists(st.tuples(rewards, st.floats(0, 1e4)), min_size=1, max_size=4),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]),
)
@example("margin_outside", torch.float16, [(-1e4, 1e4)], 0.1)  # 1e8 is beyond float16
@example("bradley_terry", torch.float32, [(40.0, 0.0)], 0.1)  # an error of 4e-18
def test_losses_derivatives_and_gradients_are_what_exact_arithmetic_says(name, dtype, values, smoothing):
    d, exact_d = held([value for value, _ in values], dtype)
    margin, exact_margin = held([value for _, value in values], dtype)
    if name == "margin":  # the subtraction is rounded to the format, and everything follows from that
        margin, exact_margin = torch.zeros_like(d), [mpmath.mpf(0)] * len(values)
    alpha = mpmath.mpf(smoothing)
    arguments = [(name, x, m, alpha) for x, m in zip(exact_d, exact_margin, strict=True)]
    d.requires_grad_()

    losses = OBJECTIVES[name].loss(d, margin, smoothing)
    losses.sum().backward()
    assert losses.dtype == at_least_float32(dtype)
    assert_close_where_it_fits(losses, [exact_loss(*one) for one in arguments], losses.dtype)

    derivatives = OBJECTIVES[name].derivative(d.detach(), margin, smoothing)
    wanted = [exact_derivative(*one) for one in arguments]
    # Two numbers that cancel where the smoothed loss is lowest: what is left is exact to the digits of 1.
    slack = 1e-6 if name == "label_smoothing" and smoothing else 0
    for got in (derivatives, d.grad):
        for value, one in zip(got.double().tolist(), wanted, strict=True):
            # float16 has two more things to round: the gradient itself, and what lies below its smallest number
            relative = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(got.dtype, 1e-5)
            fits = abs(one) < torch.finfo(got.dtype).max
            assert not math.isnan(value)
            assert not fits or abs(value - one) <= relative * abs(one) + slack + torch.finfo(got.dtype).tiny


@fuzz
@given(dtype=formats, chosen=rewards, rejected=rewards)
def test_the_pull_towards_mean_zero_is_what_exact_arithmetic_says(dtype, chosen, rejected):
    (held_chosen, (a,)), (held_rejected, (b,)) = held([chosen], dtype), held([rejected], dtype)
    working = at_least_float32(dtype)
    wanted = mpmath.mpf(torch.tensor(float(a + b), dtype=working).item()) ** 2
    assert_close_where_it_fits(reward_centering(held_chosen, held_rejected), [wanted], working)


@pytest.mark.parametrize("name", list(OBJECTIVES))
@pytest.mark.parametrize("dtype", FORMATS)
def test_a_reward_difference_that_is_no_number_gives_no_loss_that_looks_like_one(name, dtype):
    margin = torch.ones(1, dtype=dtype)
    nan, minus_infinity = (torch.tensor([value], dtype=dtype) for value in (math.nan, -math.inf))
    assert OBJECTIVES[name].loss(nan, margin, 0.1).isnan().all()
    assert not OBJECTIVES[name].loss(minus_infinity, margin, 0.1).isfinite().any()


# A step: weights with their running mean ------------------------------------------------------------------------------


@fuzz
@given(
    batches=st.lists(st.lists(distances, min_size=1, max_size=4), min_size=1, max_size=4),
    dtype=formats,
    beta=st.sampled_from([0.0, 0.9, 1.0]),
)
@example([[1e38] * 4], torch.float32, 0.9)  # their sum is beyond float32
def test_the_running_mean_is_what_exact_arithmetic_says_and_survives_json(batches, dtype, beta):
    state, wanted = WeightState(ema_beta=beta), None
    for batch in batches:
        h, exact = held([min(value, 6e4) if dtype == torch.float16 else value for value in batch], dtype)
        exact = [mpmath.mpf(value) for value in h.to(at_least_float32(dtype)).double().tolist()]
        weights, state = normbt_weights(h[:, None], torch.zeros_like(h)[:, None], state)
        state = WeightState(**json.loads(json.dumps(asdict(state))))
        mean = sum(exact) / len(exact)
        wanted = mean if wanted is None else mpmath.mpf(beta) * wanted + (1 - mpmath.mpf(beta)) * mean
        assert not weights.isnan().any()
        assert state.running_mean == pytest.approx(float(wanted), rel=1e-9, abs=1e-300)


@fuzz
@given(dtype=formats, bad=st.sampled_from([math.nan, math.inf, -math.inf]), ends_step=st.booleans())
def test_a_representation_that_is_no_number_stops_the_step(dtype, bad, ends_step):
    h = torch.tensor([[1.0, 2.0], [bad, 0.0]], dtype=dtype)
    with pytest.raises(NormBTError, match="not a finite number.*Lower the learning rate"):
        normbt_weights(h, torch.zeros_like(h), WeightState(), ends_step=ends_step)


def test_no_pair_at_all_is_a_message():
    with pytest.raises(NormBTError, match="no pair to weigh"):
        normbt_weights(torch.zeros(0, 4), torch.zeros(0, 4), WeightState())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_running_mean_refuses_what_is_no_number_and_stays(bad):
    mean = RunningMean(0.9, 2.0)
    with pytest.raises(NormBTError, match="not a finite number"):
        mean.update(bad)
    assert mean.value == 2.0
