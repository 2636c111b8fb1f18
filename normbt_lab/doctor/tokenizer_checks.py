"""Faults of a tokenizer: a pad token that ends responses, and sequences with no or two beginning-of-sequence tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbt_lab.backbones import choose_pad_token
from normbt_lab.data.pairs import PreferencePair, Text
from normbt_lab.data.tokenization import TokenizedPair
from normbt_lab.doctor.finding import Fault, Finding, Severity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD_LINK = "https://github.com/huggingface/trl/issues/2758"
BOS_LINK = "https://github.com/allenai/reward-bench/pull/166"

DOUBLE_BOS = Fault(
    "double_bos",
    Severity.ERROR,
    "a tool that renders the template to text and tokenises the text puts two in front, which the model never saw",
    "tokenise with apply_chat_template(..., tokenize=True), as this package does, or with add_special_tokens=False",
    BOS_LINK,
)
MISSING_BOS = Fault(
    "missing_bos",
    Severity.WARNING,
    "the tokenizer puts one before plain text, so the model was trained with it; the chat template leaves it out, or "
    "truncate_left cut it off",
    "add {{ bos_token }} to the start of the chat template, or use overlong: drop or truncate_right",
    BOS_LINK,
)
BOS_IN_TEXT = Fault(
    "bos_in_text",
    Severity.WARNING,
    "the text was rendered by a chat template already and is rendered again",
    "give the data as messages or plain text, without the special tokens of a template",
    BOS_LINK,
)

CONVERSATION = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def check_pad_token(tokenizer: PreTrainedTokenizerBase, is_replaced: bool = False) -> list[Finding]:
    """``pad_token_missing`` or ``pad_is_end_token``: the model would read the reward at the wrong token.

    Args:
        tokenizer: As it is stored.
        is_replaced: The run replaces the pad token (`load_tokenizer` does), so that the finding is a note for those who
            use the same model elsewhere.
    """
    better = choose_pad_token(tokenizer)
    if tokenizer.pad_token == better:
        return []
    severity = Severity.NOTE if is_replaced else Severity.ERROR
    fix = f"tokenizer.pad_token = {better!r}, and model.config.pad_token_id = tokenizer.pad_token_id"
    if better not in tokenizer.get_vocab():
        fix += ", after model.resize_token_embeddings(len(tokenizer))"
    if is_replaced:
        fix = f"nothing here, this package pads with {better!r}; elsewhere {fix}"
    if tokenizer.pad_token is None:
        evidence = "the tokenizer has no pad token"
        cause = "without one the model cannot tell where a response ends, and refuses batches of more than one"
        return [Finding("pad_token_missing", severity, evidence, cause, fix, PAD_LINK)]
    evidence = f"the pad token {tokenizer.pad_token!r} also ends or structures responses"
    cause = (
        "transformers reads the reward at the last token that is not the pad token: one token early, often at one that "
        "both responses share, and then the loss stays at 0.693"
    )
    return [Finding("pad_is_end_token", severity, evidence, cause, fix, PAD_LINK)]


def check_beginning(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[PreferencePair], tokenized: Sequence[TokenizedPair]
) -> list[Finding]:
    """``double_bos``, ``missing_bos`` and ``bos_in_text``: sequences that do not begin as the model was trained.

    Args:
        tokenizer: The model's tokenizer.
        pairs: Pairs as text.
        tokenized: Their token ids, in the same order. Sequences cut on the left have lost their beginning.
    """
    bos = tokenizer.bos_token_id
    if bos is None or not tokenized:
        return []
    rows = [ids for pair in tokenized for ids in (pair.chosen_ids, pair.rejected_ids)]
    double = sum(ids[:2] == [bos, bos] for ids in rows)
    missing = sum(ids[:1] != [bos] for ids in rows) if _puts_bos_first(tokenizer) else 0
    inside = sum(_has_bos_inside(pair, tokenizer) for pair in pairs)
    token = str(tokenizer.bos_token)
    findings = []
    if double:
        findings.append(DOUBLE_BOS.found(f"{double:,} of {len(rows):,} sequences begin with {token} twice"))
    elif _renders_bos_twice(tokenizer):
        evidence = f"the chat template writes {token}, and the tokenizer adds another to plain text"
        findings.append(DOUBLE_BOS.found(evidence, Severity.NOTE))
    if missing:
        findings.append(MISSING_BOS.found(f"{missing:,} of {len(rows):,} sequences do not begin with {token}"))
    if inside:
        findings.append(
            BOS_IN_TEXT.found(f"{inside:,} of {len(pairs):,} pairs hold {token} in the middle of their text")
        )
    return findings


def _puts_bos_first(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether plain text gets a BOS in front."""
    return tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def _renders_bos_twice(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether rendering to text and tokenising that gives two."""
    from jinja2.exceptions import TemplateError

    if not tokenizer.chat_template:
        return False
    try:
        text = tokenizer.apply_chat_template(CONVERSATION, tokenize=False)
    except TemplateError:  # it wants other turns than these
        return False
    return tokenizer(text)["input_ids"][:2] == [tokenizer.bos_token_id] * 2


def _has_bos_inside(pair: PreferencePair, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a text has the BOS where it is not the beginning of the sequence."""
    token = str(tokenizer.bos_token)
    is_rendered = bool(tokenizer.chat_template) and pair.prompt is not None
    if is_rendered or not isinstance(pair.chosen, str):
        return any(token in text for part in (pair.prompt, pair.chosen, pair.rejected) for text in _texts(part))
    joined = [
        (pair.prompt if isinstance(pair.prompt, str) else "") + str(side) for side in (pair.chosen, pair.rejected)
    ]
    return any(token in text.removeprefix(token) for text in joined)


def _texts(text: Text | None) -> list[str]:
    if text is None:
        return []
    return [text] if isinstance(text, str) else [message["content"] for message in text]
