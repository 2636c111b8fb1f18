"""Margins on another scale: hand arithmetic, and what cannot be scaled."""

import pytest

from normbt_lab.data.checks import CheckReport, PreparedPairs
from normbt_lab.data.margins import require_margin_scale, scaled_margins
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.tokenization import TokenizedPair
from normbt_lab.errors import NormBTError, UsageError


def prepared(*margins):
    pairs = [PreferencePair("?", "yes", "no", margin=margin) for margin in margins]
    return PreparedPairs(pairs, [TokenizedPair([1], [2], False, False)] * len(pairs), CheckReport())


def test_margins_scaled_to_mean_one_keep_their_ratios():
    """1, 2 and 6 have the mean 3."""
    assert scaled_margins([1.0, 2.0, 6.0], "mean1") == [1 / 3, 2 / 3, 2.0]
    assert prepared(1.0, 2.0, 6.0).to_dataset(margin_scale="mean1")["margin"][:] == [1 / 3, 2 / 3, 2.0]


def test_margins_stay_as_they_are_without_a_scale():
    assert scaled_margins([1.0, -2.0], None) == [1.0, -2.0]


@pytest.mark.parametrize("margins", [[-1.0, -3.0], [1.0, -1.0], [0.0], [float("nan")]])
def test_a_mean_that_is_not_above_zero_is_an_error_with_cause_and_fix(margins):
    with pytest.raises(NormBTError, match="above 0; it is .* exchanged.* leave margin_scale out"):
        scaled_margins(margins, "mean1")


def test_an_unknown_scale_is_refused():
    with pytest.raises(UsageError, match="mean1 or nothing; got 'meen1'"):
        require_margin_scale("meen1")


def test_a_loss_that_reads_no_margins_gets_none_however_they_would_scale():
    assert "margin" not in prepared(-1.0, -2.0).to_dataset(with_margins=False, margin_scale="mean1").column_names
