"""Best-of-n against counting over all subsets, exact fractions, and a policy whose best-of-n is known."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from test_scoring import make_reward_model

from normbt_lab.data.checkable import checkable_prompts
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.best_of_n import (
    BEST,
    LENGTH,
    _chance_to_be_best,
    best_of_n,
    expected_best_of_n,
    kl_divergence,
)
from normbt_lab.evaluation.best_of_n_figures import best_of_n_figure, ticks
from normbt_lab.evaluation.best_of_n_files import (
    best_of_n_file,
    best_of_n_table,
    proxy_names,
    write_best_of_n_report,
)
from normbt_lab.evaluation.candidates import Candidates, read_candidates, write_candidates
from normbt_lab.scoring.responses import Question, score_responses

# the estimator


def by_counting(proxy: list[float], gold: list[float]) -> list[float]:
    """The slow, obvious way: every subset of every size, ties shared equally, in exact fractions."""
    expected = []
    for n in range(1, len(proxy) + 1):
        values = []
        for subset in itertools.combinations(range(len(proxy)), n):
            best = max(proxy[i] for i in subset)
            picked = [Fraction(gold[i]) for i in subset if proxy[i] == best]
            values.append(sum(picked) / len(picked))
        expected.append(float(sum(values) / len(values)))
    return expected


@pytest.mark.parametrize("levels", [2, 3, 100], ids=["many ties", "some ties", "hardly a tie"])
@pytest.mark.parametrize("candidates", [1, 2, 5, 9])
def test_the_closed_form_is_the_mean_over_all_subsets(candidates: int, levels: int) -> None:
    random = np.random.default_rng(candidates)
    for _ in range(5):
        proxy = random.integers(levels, size=candidates).tolist()
        gold = random.integers(7, size=candidates).tolist()
        assert expected_best_of_n(proxy, gold).tolist() == pytest.approx(by_counting(proxy, gold), abs=1e-12)


def test_the_chances_of_402_candidates_are_the_binomials() -> None:
    chances = _chance_to_be_best(402)
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-12)
    for n, rank in [(1, 1), (2, 402), (17, 390), (201, 300), (402, 402), (402, 401)]:
        exact = Fraction(math.comb(rank - 1, n - 1), math.comb(402, n))
        assert chances[n - 1, rank - 1] == pytest.approx(float(exact), rel=1e-9)


def test_a_proxy_without_an_opinion_gains_nothing() -> None:
    assert expected_best_of_n([5, 5, 5, 5], [0, 1, 0, 1]).tolist() == pytest.approx([0.5] * 4)


def test_a_shift_or_rising_transform_of_the_proxy_changes_nothing() -> None:
    random = np.random.default_rng(0)
    proxy, gold = random.normal(size=12), random.normal(size=12)
    assert expected_best_of_n(np.exp(proxy) + 3, gold).tolist() == expected_best_of_n(proxy, gold).tolist()


def test_the_estimate_is_unbiased_for_the_policy() -> None:
    """A policy over three responses: the best of n is worked out from powers of its distribution function."""
    shares, proxy, gold = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), np.array([0.2, 1.0, 0.4])
    below = np.cumsum(shares)
    truth = [float(np.diff(np.concatenate([[0], below**n])) @ gold) for n in range(1, 7)]
    random = np.random.default_rng(0)
    drawn = random.choice(3, size=(4000, 6), p=shares)
    estimates = np.array([expected_best_of_n(proxy[row], gold[row]) for row in drawn])
    standard_errors = estimates.std(axis=0) / math.sqrt(len(drawn))
    assert (np.abs(estimates.mean(axis=0) - truth) < 4 * standard_errors).all()


def test_two_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got shapes \(2,\) and \(3,\)"):
        expected_best_of_n([1, 2], [1, 2, 3])


def test_the_kl_of_the_paper_is_reached_at_402() -> None:
    """Paper section 3.4 says 0 to 5 for n from 1 to 402; at 403 it is above."""
    assert kl_divergence(1) == 0
    assert kl_divergence(2) == pytest.approx(0.6931472 - 0.5)
    assert kl_divergence(402) < 5 < kl_divergence(403)
    with pytest.raises(UsageError, match="got 0"):
        kl_divergence(0)


# curves over prompts


def candidates_of(prompts: int = 30, responses: int = 8, seed: int = 0) -> list[Candidates]:
    """A good proxy, a poor one, and one that is better than chance up to the point where it prefers the worst."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(prompts):
        gold = random.normal(size=responses)
        hacked = np.where(gold == gold.min(), 9.0, gold)
        scores = {"gold": gold, "good": gold + random.normal(size=responses), "hacked": hacked, "blind": gold * 0}
        found.append(Candidates(f"prompt {i}", tuple("x" * (j + 1) for j in range(responses)), scores))
    return found


def test_no_proxy_beats_the_gold_score_and_a_blind_one_stays_where_it_starts() -> None:
    result = best_of_n(candidates_of())
    best = result.baselines[BEST].mean
    assert (np.diff(best) > 0).all()
    assert all((curve.mean <= best + 1e-12).all() for curve in result.curves.values())
    assert np.allclose(result.curves["blind"].mean, best[0])


def test_over_optimisation_shows_as_a_peak_and_a_drop() -> None:
    """By hand: at n = 8 the hacked proxy picks the worst of all, so its gold score is the mean minimum."""
    found = candidates_of()
    result = best_of_n(found)
    hacked = result.curves["hacked"]
    assert hacked.mean[-1] == pytest.approx(np.mean([one.scores["gold"].min() for one in found]))
    assert 1 < hacked.peak < 8
    assert result.drop("hacked").mean == pytest.approx(hacked.mean.max() - hacked.mean[-1])
    assert result.drop("hacked").low > 0
    assert result.curves["blind"].peak == 1


def test_the_length_baseline_picks_the_longest_response() -> None:
    found = candidates_of()
    last = best_of_n(found).baselines[LENGTH].mean[-1]
    assert last == pytest.approx(np.mean([one.scores["gold"][-1] for one in found]))


def test_intervals_agree_with_prompts_drawn_one_by_one() -> None:
    result = best_of_n(candidates_of(prompts=60))
    per_prompt = result.curves["good"].per_prompt[:, -1]
    random = np.random.default_rng(7)
    means = [random.choice(per_prompt, size=60).mean() for _ in range(4000)]
    at_last = result.curves["good"].at(8)
    assert [at_last.low, at_last.high] == pytest.approx(np.quantile(means, [0.025, 0.975]).tolist(), abs=0.03)


def test_a_gain_over_another_proxy_is_paired() -> None:
    """Half of the prompts are easy and half hard: single curves vary widely, their difference hardly."""
    found = []
    for i in range(40):
        gold = np.array([0.0, 1.0, 2.0]) + 100 * (i % 2)
        found.append(Candidates(str(i), ("a", "b", "c"), {"gold": gold, "up": gold, "down": -gold}))
    result = best_of_n(found)
    assert tuple(result.gain("up", over="down")) == pytest.approx((2, 2, 2))
    assert tuple(result.gain("up")) == pytest.approx((1, 1, 1))
    assert result.curves["up"].high[-1] - result.curves["up"].low[-1] > 20


def test_prompts_with_unequal_numbers_of_candidates_go_to_the_smallest_number() -> None:
    short = Candidates("short", ("a", "b"), {name: np.array([0.0, 1.0]) for name in candidates_of()[0].scores})
    result = best_of_n([*candidates_of(prompts=2), short])
    assert result.largest == 2
    first = candidates_of(prompts=2)[0].scores
    assert result.curves["good"].per_prompt[0].tolist() == pytest.approx(
        by_counting(list(first["good"]), list(first["gold"]))[:2]
    )


@pytest.mark.parametrize("largest", [0, 9])
def test_an_n_beyond_the_candidates_is_wrong_use(largest: int) -> None:
    with pytest.raises(UsageError, match="has 8"):
        best_of_n(candidates_of(), largest=largest)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(NormBTError, match="there are none"):
        best_of_n([])
    with pytest.raises(NormBTError, match="no scores called 'gold'"):
        best_of_n([Candidates("p", ("a",), {"bt": np.zeros(1)})])
    with pytest.raises(NormBTError, match="no proxy: name a reward model"):
        best_of_n([Candidates("p", ("a",), {"gold": np.zeros(1)})])
    with pytest.raises(NormBTError, match="1 of 2 prompts have no scores called 'bt'"):
        best_of_n([Candidates(t, ("a",), {"gold": np.zeros(1), **extra}) for t, extra in (("p", {"bt": 1}), ("q", {}))])


# files


def write_rows(path, rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_responses_to_one_prompt_belong_together_and_columns_of_numbers_are_proxies(tmp_path) -> None:
    rows = [
        {"prompt": "p", "response": "a", "gold": 1, "bt": 0.5, "source": "x", "done": True},
        {"prompt": "q", "response": "b", "gold": 0, "bt": 0.1, "source": "x", "done": True},
        {"prompt": "p", "response": "c", "gold": 0, "bt": 0.7, "source": "x", "done": False},
    ]
    first, second = read_candidates(write_rows(tmp_path / "c.jsonl", rows))
    assert (first.prompt, first.responses, second.responses) == ("p", ("a", "c"), ("b",))
    assert {name: list(values) for name, values in first.scores.items()} == {"gold": [1, 0], "bt": [0.5, 0.7]}


def test_an_answer_that_is_a_number_is_a_response_and_no_score(tmp_path) -> None:
    rows = [{"prompt": "4", "response": text, "gold": 1, "note": text, "bt": 0.5} for text in ("4", "four")]
    (found,) = read_candidates(write_rows(tmp_path / "c.jsonl", rows))
    assert found.responses == ("4", "four") and list(found.scores) == ["gold", "bt"]


def test_in_csv_numbers_are_read_from_the_cells_that_are_no_text(tmp_path) -> None:
    (tmp_path / "c.csv").write_text("prompt,response,gold,bt,source\n2+2,4,1,-0.5,x\n2+2,four,0,1e-2,x\n")
    (found,) = read_candidates(str(tmp_path / "c.csv"))
    assert found.responses == ("4", "four")
    assert {name: list(values) for name, values in found.scores.items()} == {"gold": [1, 0], "bt": [-0.5, 0.01]}


def test_written_candidates_come_back_the_same(tmp_path) -> None:
    found = candidates_of(prompts=3)
    again = read_candidates(str(write_candidates(tmp_path / "new" / "c.jsonl", found)))
    for ours, theirs in zip(found, again, strict=True):
        assert (ours.prompt, ours.responses) == (theirs.prompt, theirs.responses)
        assert list(ours.scores) == list(theirs.scores)
        assert all(ours.scores[name].tolist() == theirs.scores[name].tolist() for name in ours.scores)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"response": "b", "gold": 1}, r"c.jsonl:2: 'prompt' is missing"),
        ({"prompt": "p", "response": 3, "gold": 1}, r"'response' is int"),
        ({"prompt": "p", "response": "b", "gold": None}, r"'gold' is None, expected a finite number"),
        ({"prompt": "p", "response": "b", "gold": 1}, r"the column 'bt' holds a number in some rows"),
        ("text", r"c.jsonl:2: expected a record"),
    ],
)
def test_a_bad_row_is_an_error_with_its_line(tmp_path, row, message) -> None:
    rows = [{"prompt": "p", "response": "a", "gold": 1, "bt": 1.0}, row]
    with pytest.raises(NormBTError, match=message):
        read_candidates(write_rows(tmp_path / "c.jsonl", rows))


# scoring


def test_a_response_has_the_reward_it_has_alone() -> None:
    """One response at a time through transformers' own forward pass."""
    reward_model = make_reward_model()
    questions = [
        Question("question?", ["yes ", "yes " * 9, "yes " * 3]),
        Question("other?", ["no", "no"]),
        Question("third?", [""]),
    ]
    for question, scored in zip(questions, score_responses(reward_model, questions, batch_size=2), strict=True):
        for response, found in zip(question.responses, scored, strict=True):
            alone = next(iter(_stock(reward_model, question.prompt, response)))
            assert found.reward == pytest.approx(alone, abs=1e-5)


def test_equal_responses_tie_exactly() -> None:
    (scored,) = score_responses(make_reward_model(), [Question("other?", ["no", "yes, indeed", "no"])])
    assert scored[0] == scored[2] != scored[1]


def _stock(reward_model, prompt: str, response: str) -> list[float]:
    from normbt_lab.data.tokenization import tokenize_pair

    tokens = tokenize_pair(PreferencePair(prompt, response, response), reward_model.tokenizer)
    with torch.no_grad():
        return reward_model.model(input_ids=torch.tensor([tokens.chosen_ids])).logits[0].tolist()


def test_batch_size_and_layout_change_no_choice() -> None:
    reward_model = make_reward_model()
    questions = [Question(f"question {i}?", ["word " * n for n in range(i, 11, 2)]) for i in range(8)]

    def rewards(batch_size: int, layout: str) -> list[float]:
        found = score_responses(reward_model, questions, batch_size=batch_size, layout=layout)
        return [response.reward for responses in found for response in responses]

    one, many = rewards(1, "padded"), rewards(7, "shared_prefix")
    assert one == pytest.approx(many, abs=1e-5)
    assert np.argsort(one).tolist() == np.argsort(many).tolist()


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models") / "bt"
    reward_model = make_reward_model()
    reward_model.model.save_pretrained(folder)
    reward_model.tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def small_file(tmp_path) -> str:
    rows = [
        {"prompt": prompt.text, "response": text, "gold": prompt.gold(text)}
        for prompt in checkable_prompts(3)
        for text in ("the sea is calm.", "A CALM SEA", "- one\n- two, three", "That is all.")
    ]
    return write_rows(tmp_path / "candidates.jsonl", rows)


def test_scores_of_a_model_are_kept_and_read_again_without_it(model_folder, small_file, tmp_path) -> None:
    saved = str(tmp_path / "scored.jsonl")
    scored = best_of_n_file(small_file, [model_folder], save_scores=saved, progress=False)
    assert list(scored.curves) == ["bt"]
    assert scored.layouts == {"bt": "shared_prefix"}
    assert best_of_n_file(saved).to_json() == {**scored.to_json(), "layouts": {}}  # nothing was computed this time


def test_a_gold_model_takes_the_place_of_the_gold_column(model_folder, small_file, tmp_path, caplog) -> None:
    result = best_of_n_file(small_file, [model_folder], gold_model=model_folder, progress=False)
    assert "own column 'gold' gives way" in caplog.text
    assert result.curves["bt"].mean.tolist() == result.baselines[BEST].mean.tolist()


def test_models_of_one_name_are_told_apart_or_refused() -> None:
    assert proxy_names(["a/bt", "b/bt", "c/normbt"]) == ["a/bt", "b/bt", "normbt"]
    with pytest.raises(UsageError, match="named twice"):
        proxy_names(["a/bt", "a/bt"])
    with pytest.raises(UsageError, match="cannot be called 'gold'"):
        proxy_names(["runs/gold"])


# figure, table, page, command


def test_the_figure_has_a_line_and_a_band_per_proxy_and_two_grey_lines() -> None:
    result = best_of_n(candidates_of())
    figure = best_of_n_figure(result)
    lines = {trace.name: trace for trace in figure.data if trace.fill is None}
    assert list(lines) == ["good", "hacked", "blind", BEST, LENGTH]
    assert lines["good"].x == pytest.approx([math.log(n) - (n - 1) / n for n in range(1, 9)])
    assert lines["good"].y == pytest.approx(result.curves["good"].mean.tolist())
    band = next(trace for trace in figure.data if trace.fill and trace.name == "good")
    assert max(band.y[:8]) < max(band.y[8:]) and len(band.x) == 16
    assert figure.layout.title.text.startswith("Best of 8: good ")


def test_one_candidate_per_prompt_still_makes_a_figure_and_a_table() -> None:
    result = best_of_n(candidates_of(responses=1))
    assert ticks(1) == [1]
    assert len(best_of_n_figure(result).data) == 8
    assert "n=1" in best_of_n_table(result)


def test_the_page_holds_the_curves_and_escapes_names(tmp_path) -> None:
    found = [Candidates("p", ("a", "b"), {"gold": np.array([0.0, 1.0]), "<b>": np.array([1.0, 0.0])})]
    path = write_best_of_n_report(tmp_path / "report.html", best_of_n(found), "a file")
    page = path.read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page and '<th scope="row"><b>' not in page
    assert "1 prompt from a file, n from 1 to 2." in page


def normbt(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "normbt_lab.cli", "best-of-n", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_prints_a_table_and_writes_the_page(tmp_path) -> None:
    scored = write_candidates(tmp_path / "c.jsonl", candidates_of())
    done = normbt("--candidates", str(scored), "--output", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    assert "hacked" in done.stdout and "peak at" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 100_000


def test_the_command_prints_json_alone_with_the_numbers_of_the_library(tmp_path) -> None:
    scored = write_candidates(tmp_path / "c.jsonl", candidates_of())
    done = normbt("--candidates", str(scored), "--json", "--largest", "4")
    assert json.loads(done.stdout) == best_of_n(candidates_of(), largest=4).to_json()


def test_only_the_first_prompts_are_read_when_asked(tmp_path) -> None:
    scored = str(write_candidates(tmp_path / "c.jsonl", candidates_of()))
    assert best_of_n_file(scored, prompts=3).to_json() == best_of_n(candidates_of()[:3]).to_json()


def test_the_command_without_a_proxy_says_what_to_do(small_file) -> None:
    done = normbt("--candidates", small_file)
    assert done.returncode == 1
    assert "name a reward model to score them with" in done.stderr and done.stderr.count("\n") == 1
