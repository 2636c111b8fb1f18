"""From the text of a pair to token ids, by the rule of TRL's `RewardTrainer`, with one policy for what is too long.

How a pair becomes tokens:

- With a chat template, a pair that has a prompt or is made of messages is rendered as user and assistant turns.
- Otherwise prompt and response are joined as they are, and the end-of-sequence token is added where it is missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from normbt_lab.data.pairs import PreferencePair, Text
from normbt_lab.errors import NormBTError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OVERLONG = ("drop", "truncate_left", "truncate_right")
"""What to do with a pair that has a response above `max_length` tokens."""


class UntokenizablePair(NormBTError):
    """The tokenizer or its chat template refuses a pair; the message says why."""


@dataclass(frozen=True)
class TokenizedPair:
    """Token ids of both responses, each with its prompt, and whether they were cut."""

    chosen_ids: list[int]
    rejected_ids: list[int]
    truncated_chosen: bool = False
    truncated_rejected: bool = False

    @property
    def is_identical(self) -> bool:
        """Whether both sides are the same tokens, so that no model can tell them apart (decisions, point 9)."""
        return self.chosen_ids == self.rejected_ids


def tokenize_pair(
    pair: PreferencePair,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None = None,
    overlong: str = "drop",
) -> TokenizedPair | None:
    """Token ids of a pair, or None where it is too long and is to be dropped.

    For message lists and for texts without a prompt the ids are those of TRL's `RewardTrainer`. A prompt beside plain
    responses is the user's turn where the tokenizer has a chat template (TRL joins the strings), since that is how
    instruction models, RewardBench and the paper's data are meant; without a template the strings are joined.
    A sequence starts with at most one beginning-of-sequence token, also where the text brings its own.

    Args:
        pair: The pair as text.
        tokenizer: The model's tokenizer.
        max_length: Longest allowed sequence (prompt and response) in tokens; None for no limit.
        overlong: ``drop`` the pair, or cut the longer sequences: ``truncate_left`` keeps the last `max_length` tokens,
            ``truncate_right`` the first (as the paper does; decisions, point 31).

    Raises:
        UntokenizablePair: The chat template refuses the pair, messages meet a tokenizer without a template, or a text
            is no valid Unicode.
        UsageError: An unknown `overlong` or a `max_length` below 1.

    Example:
        >>> from normbt_lab.backbones import load_tokenizer, resolve_backbone
        >>> tokenizer = load_tokenizer(resolve_backbone("tiny-random"))
        >>> tokenized = tokenize_pair(PreferencePair("What is 2 + 2?", "4", "5"), tokenizer)
        >>> tokenizer.decode(tokenized.chosen_ids).splitlines()[-1]
        '4<|im_end|>'
    """
    check_length_rule(max_length, overlong)
    _require_unicode(pair)
    chosen = _limited_ids(pair, pair.chosen, tokenizer, max_length, overlong)
    rejected = _limited_ids(pair, pair.rejected, tokenizer, max_length, overlong) if chosen is not None else None
    if chosen is None or rejected is None:
        return None
    return TokenizedPair(chosen[0], rejected[0], truncated_chosen=chosen[1], truncated_rejected=rejected[1])


def check_length_rule(max_length: int | None, overlong: str) -> None:
    """Raise UsageError unless both are what `tokenize_pair` takes."""
    if overlong not in OVERLONG:
        raise UsageError(f"unknown overlong={overlong!r}: expected {', '.join(OVERLONG)}")
    if max_length is not None and max_length < 1:
        raise UsageError(f"max_length is {max_length}, expected 1 token or more, or none for no limit")


def _require_unicode(pair: PreferencePair) -> None:
    """Raise UntokenizablePair for half a surrogate pair: Python's texts may hold one, and tokenizers fail on it."""
    texts = [message["content"] for side in (pair.prompt, pair.chosen, pair.rejected) for message in _turns(side, "")]
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError:
        raise UntokenizablePair(
            f"{pair.origin or 'a pair'} holds half a surrogate pair, which is no character: was a text cut in bytes?"
        ) from None


def _limited_ids(
    pair: PreferencePair, response: Text, tokenizer: PreTrainedTokenizerBase, max_length: int | None, overlong: str
) -> tuple[list[int], bool] | None:
    """The ids within the limit and whether they were cut; None to drop the pair."""
    if max_length is None:
        return _ids(pair, response, tokenizer), False
    if _characters(pair.prompt) + _characters(response) > _enough_characters(tokenizer, max_length):
        return _limited_ids_of_huge_text(pair, response, tokenizer, max_length, overlong)
    return _limited(_ids(pair, response, tokenizer), max_length, overlong)


def _limited(ids: list[int], max_length: int, overlong: str) -> tuple[list[int], bool] | None:
    if len(ids) <= max_length:
        return ids, False
    if overlong == "drop":
        return None
    return (ids[:max_length] if overlong == "truncate_right" else ids[-max_length:]), True


def _ids(pair: PreferencePair, response: Text, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    if _is_conversation(pair, response, tokenizer):
        ids = _apply_chat_template(pair, response, tokenizer, tokenize=True, return_dict=True)["input_ids"]
    else:
        ids = tokenizer(text=_joined(pair, response, tokenizer))["input_ids"]
    return _with_one_bos(list(ids), tokenizer)


def _is_conversation(pair: PreferencePair, response: Text, tokenizer: PreTrainedTokenizerBase) -> bool:
    if not isinstance(response, str) or not isinstance(pair.prompt, str | None):
        return True
    return pair.prompt is not None and bool(tokenizer.chat_template)


def _turns(text: Text | None, role: str) -> list[dict[str, str]]:
    if text is None:
        return []
    return [{"role": role, "content": text}] if isinstance(text, str) else [dict(message) for message in text]


def _apply_chat_template(
    pair: PreferencePair, response: Text, tokenizer: PreTrainedTokenizerBase, **arguments: Any
) -> Any:
    from jinja2.exceptions import TemplateError

    where = pair.origin or "a pair"
    if not tokenizer.chat_template:
        raise UntokenizablePair(
            f"{where} is made of messages, but the tokenizer has no chat template to render them with: "
            "take an instruction-tuned model, or give the data as plain text"
        )
    try:
        # tokenize=True, and not the rendered text tokenised, which would add a second BOS (see decisions, point 34).
        return tokenizer.apply_chat_template(_turns(pair.prompt, "user") + _turns(response, "assistant"), **arguments)
    except (TemplateError, TypeError) as error:
        raise UntokenizablePair(f"{where}: the chat template refuses it: {error}") from error


def _joined(pair: PreferencePair, response: Text, tokenizer: PreTrainedTokenizerBase) -> str:
    text = cast(str, pair.prompt or "") + cast(str, response)
    eos = cast(str | None, tokenizer.eos_token)
    return text if eos is None or text.endswith(eos) else text + eos


def _with_one_bos(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids without the second BOS that a tokenizer puts before a text which already starts with one."""
    bos = tokenizer.bos_token_id
    return ids[1:] if bos is not None and ids[:2] == [bos, bos] else ids


def _limited_ids_of_huge_text(
    pair: PreferencePair, response: Text, tokenizer: PreTrainedTokenizerBase, max_length: int, overlong: str
) -> tuple[list[int], bool] | None:
    """What `_limited` makes of a text far above the limit, without tokenising what would be thrown away.

    Ten megabytes take seconds to tokenise. To drop such a text, a proof that it is too long is enough; to cut it, a
    part with at least twice the tokens that are kept. (The part is tokenised by itself: in one unbroken word of
    megabytes its letters may be grouped otherwise than in the whole.)
    """
    is_conversation = _is_conversation(pair, response, tokenizer)
    if is_conversation:
        text = cast(str, _apply_chat_template(pair, response, tokenizer, tokenize=False))
    else:
        text = _joined(pair, response, tokenizer)
    enough = _enough_characters(tokenizer, max_length)
    is_huge = len(text) > enough  # a template may have trimmed it
    if is_huge and overlong == "drop" and _fewest_tokens(text, tokenizer) > max_length:
        return None
    if is_huge and overlong != "drop":
        part = text[-enough:] if overlong == "truncate_left" else text[:enough]
        ids = list(tokenizer(text=part, add_special_tokens=not is_conversation)["input_ids"])
        if len(ids) >= 2 * max_length:
            return _limited(_with_one_bos(ids, tokenizer), max_length, overlong)
    return _limited(_ids(pair, response, tokenizer), max_length, overlong)


def _characters(text: Text | None) -> int:
    return len(text) if isinstance(text, str) else sum(len(message["content"]) for message in text or ())


def _enough_characters(tokenizer: PreTrainedTokenizerBase, max_length: int) -> int:
    """Characters that make at least 2 * max_length tokens, with every ordinary tokenizer."""
    return 2 * max_length * _longest_token(tokenizer, len(tokenizer))


@lru_cache(maxsize=8)
def _longest_token(tokenizer: PreTrainedTokenizerBase, vocabulary_size: int) -> int:
    """Characters in the longest token; the size is there so that added tokens make a new cache entry."""
    return max(map(len, tokenizer.get_vocab()))


def _fewest_tokens(text: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """A number of tokens that the text is sure to have, from its length alone; 0 where nothing is sure."""
    lost = _bytes_without_token(tokenizer)
    if lost is None:
        return 0
    return len(text.encode("utf-8").translate(None, delete=lost)) // _longest_token(tokenizer, len(tokenizer))


@lru_cache(maxsize=8)
def _bytes_without_token(tokenizer: PreTrainedTokenizerBase) -> bytes | None:
    """The bytes that a byte-level BPE tokenizer (SmolLM2, Llama 3, GPT-2) skips; None for every other kind.

    All other bytes are part of some token there. Elsewhere a normaliser, a step that removes spaces or one unknown
    token for a whole stretch can make few tokens of many characters.
    """
    from tokenizers import models
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not isinstance(backend.model, models.BPE) or not _keeps_every_character(backend):
        return None
    if any(token.lstrip or token.rstrip for token in tokenizer.added_tokens_decoder.values()):
        return None  # such a token takes any number of spaces with it
    vocabulary = tokenizer.get_vocab()
    return bytes(byte for byte, character in bytes_to_unicode().items() if character not in vocabulary)


def _keeps_every_character(backend: Any) -> bool:
    """Whether what stands before the model only splits the text and writes it as bytes."""
    if backend.normalizer is not None or backend.pre_tokenizer is None:
        return False
    state = json.loads(backend.pre_tokenizer.__getstate__())
    steps = state.get("pretokenizers", [state])
    only_splits = all(step["type"] in ("ByteLevel", "Digits", "Split") for step in steps)
    removes = any(step.get("behavior") == "Removed" for step in steps)
    return only_splits and not removes and any(step["type"] == "ByteLevel" for step in steps)
