"""Scored pairs against the slow, obvious way: one response at a time through the stock model."""

import dataclasses
import itertools
import json
import math
import subprocess
import sys

import pytest
import torch
from small_architectures import InFloat64
from small_tokenizers import STRICT, byte_level
from transformers import LlamaConfig, LlamaForSequenceClassification

from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.layouts import layout_used
from normbt_lab.model import RewardModel
from normbt_lab.scoring import ScoredPair, score, score_pairs, weight_rule
from normbt_lab.state import NormBTState

SETTINGS = {"weighting": "normbt", "norm_alpha": 1.0, "norm_eps": 1e-8, "max_weight": None, "ema_beta": 0.9}
NORMBT = NormBTState(running_mean=2.0, settings=SETTINGS)
WORDS = "the quick brown fox jumps over a lazy dog while two cats sleep on four warm chairs".split()


def pair_of_words(n: int) -> PreferencePair:
    """Pairs of all lengths: number n has 1 to 30 words on either side."""
    words = itertools.cycle(WORDS[n % 7 :] + WORDS)
    chosen, rejected = (" ".join(itertools.islice(words, 1 + (n * step) % 30)) for step in (7, 11))
    return PreferencePair(f"question {n}?", chosen, rejected, category=("chat", "safety")[n % 2], origin=f"made:{n}")


PAIRS = [pair_of_words(n) for n in range(40)]


def make_reward_model(tokenizer=None, state: NormBTState | None = NORMBT) -> RewardModel:
    tokenizer = tokenizer or byte_level()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        num_labels=1,
        initializer_range=0.3,  # rewards and distances of a size that shows errors
        pad_token_id=tokenizer.pad_token_id,
    )
    return RewardModel(LlamaForSequenceClassification(config).eval(), tokenizer, "tiny", state)


@pytest.fixture(scope="module")
def reward_model():
    return make_reward_model()


def chat_ids(reward_model, pair, response):
    turns = [{"role": "user", "content": pair.prompt}, {"role": "assistant", "content": response}]
    return reward_model.tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]


@torch.no_grad()
def alone(reward_model, ids):
    """Reward and representation of one token sequence, without padding, by transformers itself."""
    input_ids = torch.tensor([ids])
    hidden = reward_model.model.model(input_ids).last_hidden_state[0, -1]
    return reward_model.model(input_ids).logits[0, 0].item(), hidden


def test_rewards_and_distance_are_those_of_each_response_alone_in_stock_transformers(reward_model):
    for pair, scored in zip(PAIRS, score_pairs(reward_model, PAIRS), strict=True):
        reward_chosen, h_chosen = alone(reward_model, chat_ids(reward_model, pair, pair.chosen))
        reward_rejected, h_rejected = alone(reward_model, chat_ids(reward_model, pair, pair.rejected))
        assert scored.reward_chosen == pytest.approx(reward_chosen, abs=1e-4)
        assert scored.reward_rejected == pytest.approx(reward_rejected, abs=1e-4)
        assert scored.representation_distance == pytest.approx((h_chosen - h_rejected).norm().item(), abs=1e-4)


@pytest.mark.parametrize("layout", ["shared_prefix", "padded"])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 32])
def test_rewards_do_not_depend_on_batch_size_or_layout_and_keep_the_order(reward_model, batch_size, layout):
    one_window = list(score_pairs(reward_model, PAIRS, batch_size=40, layout="padded"))
    scored = list(score_pairs(reward_model, PAIRS, batch_size=batch_size, layout=layout))
    assert [record.index for record in scored] == list(range(len(PAIRS)))
    assert [record.prompt for record in scored] == [pair.prompt for pair in PAIRS]
    assert [record.is_correct for record in scored] == [record.is_correct for record in one_window]
    for name in ("reward_chosen", "reward_rejected", "representation_distance"):
        expected = [getattr(record, name) for record in one_window]
        assert [getattr(record, name) for record in scored] == pytest.approx(expected, abs=1e-4)


def test_rewards_of_both_layouts_are_equal_to_ten_digits_in_float64():
    reward_model = make_reward_model()
    reward_model.model.double()
    with InFloat64():
        padded, shared = (list(score_pairs(reward_model, PAIRS, layout=name)) for name in ("padded", "shared_prefix"))
    for name in ("reward_chosen", "reward_rejected", "representation_distance"):
        expected = [getattr(record, name) for record in padded]
        assert [getattr(record, name) for record in shared] == pytest.approx(expected, abs=1e-10)


def seen(reward_model, what):
    """What of the token ids each forward pass gets to see, in a list that fills as passes run."""
    found = []
    reward_model.model.register_forward_pre_hook(
        lambda module, args, kwargs: found.append(what(kwargs["input_ids"])), with_kwargs=True
    )
    return found


@pytest.mark.parametrize("layout", ["shared_prefix", "padded"])
def test_a_batch_never_holds_more_tokens_than_its_bound(layout):
    reward_model = make_reward_model()
    unbounded = list(score_pairs(reward_model, PAIRS, batch_size=40, layout=layout))
    bound = 6 * max(max(record.tokens_chosen, record.tokens_rejected) for record in unbounded)
    sizes = seen(reward_model, torch.Tensor.numel)
    bounded = list(score_pairs(reward_model, PAIRS, batch_size=40, layout=layout, max_tokens_per_batch=bound))
    assert len(sizes) > 1 and max(sizes) <= bound
    assert [record.reward_difference for record in bounded] == pytest.approx(
        [record.reward_difference for record in unbounded], abs=1e-4
    )


def test_a_common_prompt_goes_through_the_model_once():
    """A long prompt and two short answers: little more than half of what two rows hold."""
    reward_model = make_reward_model()
    pairs = [PreferencePair("word " * 60, f"yes {n}", f"no {n}") for n in range(3)]
    sizes = seen(reward_model, torch.Tensor.numel)
    padded, shared = (list(score_pairs(reward_model, pairs, layout=layout)) for layout in ("padded", "auto"))
    assert sizes[-1] < 0.55 * sizes[0]  # the first pass was the padded one; between them is the check
    assert [r.reward_chosen for r in shared] == pytest.approx([r.reward_chosen for r in padded], abs=1e-4)


def test_the_layouts_are_compared_once_per_model(reward_model):
    reward_model = make_reward_model()
    sizes = seen(reward_model, torch.Tensor.numel)
    for passes in (3, 1, 1):
        before = len(sizes)
        list(score_pairs(reward_model, PAIRS[:2]))
        assert len(sizes) - before == passes
    assert layout_used(reward_model.model) == "shared_prefix"
    reward_model.model.set_attn_implementation("eager")  # another mask: what was found does not hold for it
    assert layout_used(reward_model.model) is None
    expected = [record.reward_chosen for record in score_pairs(reward_model, PAIRS[:2], layout="padded")]
    found = [record.reward_chosen for record in score_pairs(reward_model, PAIRS[:2])]
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_model_that_is_not_verified_is_scored_in_the_padded_layout_after_one_line(caplog):
    reward_model = make_reward_model()
    reward_model.model.config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0}
    for _ in range(2):
        assert len(list(score_pairs(reward_model, PAIRS[:3]))) == 3
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Padded layout"]
    with pytest.raises(UsageError, match="longest row of the batch"):
        list(score_pairs(reward_model, PAIRS[:3], layout="shared_prefix"))


def test_a_short_pair_does_not_share_a_padded_batch_with_a_long_one():
    """Prompts alike; responses of 60, 50 and 2 words: the third is far below four fifths of the first."""
    pairs = [PreferencePair("q?", "fox " * words, "dog " * words) for words in (2, 60, 50)]
    reward_model = make_reward_model()
    rows = seen(reward_model, len)
    list(score_pairs(reward_model, pairs, layout="padded"))
    assert rows == [4, 2]  # two of each pair, the longest first


def test_pairs_are_read_a_window_at_a_time_and_not_all_at_once(reward_model):
    read = []
    endless = (read.append(n) or pair_of_words(n) for n in itertools.count())
    first = next(score_pairs(reward_model, endless, batch_size=2))
    assert first.index == 0
    assert len(read) <= 2 * score.BATCHES_PER_WINDOW


def test_swapping_the_sides_turns_the_difference_round_and_leaves_the_distance(reward_model):
    swapped = [dataclasses.replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in PAIRS[:5]]
    for there, back in zip(score_pairs(reward_model, PAIRS[:5]), score_pairs(reward_model, swapped), strict=True):
        assert back.reward_difference == pytest.approx(-there.reward_difference, abs=1e-4)
        assert back.representation_distance == pytest.approx(there.representation_distance, abs=1e-4)
        assert back.preference_probability == pytest.approx(there.prediction_error, abs=1e-4)


def test_an_over_long_response_is_cut_on_the_right_and_flagged(reward_model):
    pair = PreferencePair("question?", "yes " * 100, "no")
    (scored,) = score_pairs(reward_model, [pair], max_length=24)
    assert (scored.tokens_chosen, scored.truncated_chosen) == (24, True)
    assert not scored.truncated_rejected and scored.tokens_rejected < 24
    reward, _ = alone(reward_model, chat_ids(reward_model, pair, pair.chosen)[:24])
    assert scored.reward_chosen == pytest.approx(reward, abs=1e-4)


def test_without_a_length_the_models_own_limit_holds(reward_model):
    (scored,) = score_pairs(reward_model, [PreferencePair("question?", "yes " * 2000, "no")])
    assert (scored.tokens_chosen, scored.truncated_chosen) == (512, True)  # max_position_embeddings


def test_a_response_of_ten_megabytes_is_cut_to_the_tokens_that_are_read(reward_model):
    (scored,) = score_pairs(reward_model, [PreferencePair("question?", "word " * 2_000_000, "no")], max_length=32)
    assert scored.truncated_chosen and scored.tokens_chosen == 32


def test_a_response_of_one_token_and_identical_responses_are_scored(reward_model):
    one, same = score_pairs(reward_model, [PreferencePair(None, "a", "b"), PreferencePair("q?", "yes", "yes")])
    assert one.tokens_chosen == 2  # the token and the end of the sequence
    assert same.reward_difference == 0 and same.representation_distance == 0 and same.is_tie and not same.is_correct


def test_identical_responses_tie_even_where_a_batch_rounds_its_rows_differently():
    """A hook plays the rounding: it moves every row of the batch a little, each by another amount."""
    reward_model = make_reward_model()

    def moved(module, args, output):
        rows = torch.arange(len(output.last_hidden_state))
        output.last_hidden_state += 1e-3 * rows[:, None, None]
        return output

    reward_model.model.model.register_forward_hook(moved)
    same, different = score_pairs(reward_model, [PreferencePair("q?", "yes", "yes"), PreferencePair("q?", "yes", "no")])
    assert same.is_tie and same.representation_distance == 0
    assert not different.is_tie


def test_pairs_that_are_cut_and_those_that_are_alike_since_are_counted_in_a_notice(reward_model, caplog):
    story = "fox " * 100
    pairs = [
        PreferencePair("q?", story + "good", story + "bad"),
        PreferencePair("q?", story, "no"),
        PreferencePair("q?", "a", "b"),
    ]
    list(score_pairs(reward_model, pairs, max_length=60))
    assert "cut to 60 tokens: 2 pairs, 1 with two equal sides since" in caplog.text


def test_the_probability_is_a_sigmoid_that_keeps_small_errors():
    """At a difference of 50, 1 - sigmoid is 0 in floating point, and the error is e^-50."""
    reward_model = make_reward_model()
    reward_model.model.score.weight.data *= 1000
    records = list(score_pairs(reward_model, PAIRS))
    assert max(abs(record.reward_difference) for record in records) > 800  # e^800 overflows
    for record in records:
        if record.reward_difference > 40:
            assert record.prediction_error == pytest.approx(math.exp(-record.reward_difference), rel=1e-6)
        assert record.preference_probability + record.prediction_error == pytest.approx(1)


# ---- weights ---------------------------------------------------------------------------------------------------------


def weights_and_distances(state, **arguments):
    records = list(score_pairs(make_reward_model(state=state), PAIRS[:6], **arguments))
    return [record.weight for record in records], [record.representation_distance for record in records]


def test_the_weight_is_the_models_running_mean_over_the_distance():
    weights, distances = weights_and_distances(NORMBT)
    assert weights == pytest.approx([2.0 / distance for distance in distances], rel=1e-6)


def test_a_given_running_mean_takes_the_place_of_the_stored_one():
    weights, distances = weights_and_distances(NORMBT, running_mean=5.0)
    assert weights == pytest.approx([5.0 / distance for distance in distances], rel=1e-6)


def test_strength_and_bound_of_the_weight_are_those_of_the_training():
    settings = {**SETTINGS, "norm_alpha": 0.5, "max_weight": 0.4}
    weights, distances = weights_and_distances(NormBTState(2.0, settings=settings))
    assert weights == pytest.approx([min(math.sqrt(2.0 / distance), 0.4) for distance in distances], rel=1e-6)


def test_a_model_trained_with_uniform_weights_shows_what_normbt_would_have_given():
    weights, distances = weights_and_distances(NormBTState(2.0, settings={**SETTINGS, "weighting": "uniform"}))
    assert weights == pytest.approx([2.0 / distance for distance in distances], rel=1e-6)


def test_a_model_trained_without_a_running_mean_weighs_by_the_inverse_distance():
    weights, distances = weights_and_distances(NormBTState(2.0, settings={**SETTINGS, "ema_beta": None}))
    assert weights == pytest.approx([1 / distance for distance in distances], rel=1e-6)


@pytest.mark.parametrize(
    "state",
    [None, NormBTState(None, settings=SETTINGS), NormBTState(2.0, settings={**SETTINGS, "weighting": "cosine"})],
)
def test_without_a_mean_of_the_distance_there_is_no_weight(state):
    assert weights_and_distances(state)[0] == [None] * 6


def test_a_given_mean_of_the_distance_does_not_take_over_the_bounds_of_another_weighting():
    state = NormBTState(0.1, settings={**SETTINGS, "weighting": "cosine", "norm_alpha": 0.5, "max_weight": 1e-3})
    assert weight_rule(state, 3.0)(1.5) == pytest.approx(2.0)


# ---- what cannot be scored -------------------------------------------------------------------------------------------


def test_a_reward_that_is_not_a_number_stops_and_names_the_pair():
    reward_model = make_reward_model()
    token = reward_model.tokenizer.convert_tokens_to_ids("Z")  # one letter of one pair
    reward_model.model.get_input_embeddings().weight.data[token] = math.nan
    pairs = [*PAIRS[:3], PreferencePair("question?", "Zebra", "dog", origin="pairs.jsonl:4"), *PAIRS[3:6]]
    with pytest.raises(NormBTError, match=r"pairs\.jsonl:4: the reward is nan, not a finite number"):
        list(score_pairs(reward_model, pairs))


def test_a_pair_that_the_template_refuses_is_counted_and_skipped():
    reward_model = make_reward_model(byte_level(STRICT))
    refused = PreferencePair([{"role": "assistant", "content": "hello"}], "yes", "no", origin="pairs.jsonl:2")
    rejects = RejectLog()
    scored = list(score_pairs(reward_model, [PAIRS[0], refused, PAIRS[1]], rejects=rejects))
    assert [record.index for record in scored] == [0, 2]
    assert rejects.counts == {"refused by the tokenizer": 1}


def test_a_pair_that_ends_in_the_pad_token_is_counted_and_skipped(reward_model):
    rejects = RejectLog()
    tokenizer = byte_level(eos="<|pad|>")  # the mistake: one token for both
    confused = dataclasses.replace(reward_model, tokenizer=tokenizer)
    assert list(score_pairs(confused, [PreferencePair(None, "yes", "no")], rejects=rejects)) == []
    assert rejects.counts == {"ends in the pad token": 1}


def test_a_tokenizer_without_a_pad_token_is_an_error_that_says_so(reward_model):
    tokenizer = byte_level()
    tokenizer.pad_token = None
    with pytest.raises(NormBTError, match="has no pad token"):
        score_pairs(dataclasses.replace(reward_model, tokenizer=tokenizer), PAIRS)


def test_no_pairs_give_no_records(reward_model):
    assert list(score_pairs(reward_model, [])) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"max_length": 0},
        {"max_tokens_per_batch": 0},
        {"layout": "tree"},
        {"running_mean": 0.0},
        {"running_mean": math.nan},
    ],
)
def test_arguments_out_of_range_are_refused_at_once(reward_model, arguments):
    with pytest.raises(UsageError):
        score_pairs(reward_model, PAIRS, **arguments)


# ---- the record ------------------------------------------------------------------------------------------------------


def test_a_record_is_numbers_and_text_and_shows_conversations_as_text(reward_model):
    pair = PreferencePair(
        prompt=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}],
        chosen=[{"role": "user", "content": "ok"}, {"role": "assistant", "content": "good"}],
        rejected=[{"role": "assistant", "content": "no"}],
    )
    (scored,) = score_pairs(reward_model, [pair])
    assert (scored.prompt, scored.rejected) == ("user: hi\n\nassistant: yes?", "no")
    assert ScoredPair(**json.loads(json.dumps(dataclasses.asdict(scored)))) == scored


def test_figures_and_tables_load_without_torch():
    code = "import sys, normbt_lab.figures, normbt_lab.report; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
