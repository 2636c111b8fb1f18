"""The pairs that shipped models learn from: bundled ones and a sample of real ones whose licences allow it.

The real pairs are read from files of the user; none of their text comes with the package. What is sampled depends on
the pairs' content, the seed and the tokenizer's lengths alone, so the same files give the same mix on any machine.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.checks import prepare_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError
from normbt_lab.whole_files import write_whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PERMITTED_SOURCES = {
    "anthropics/hh-rlhf": "MIT",
    "openai/grade-school-math": "MIT",
    "princeton-nlp/LLMBar": "MIT",
    "bigcode-project/octopack (QuixBugs)": "MIT",
    "thunlp/DebugBench": "Apache-2.0",
    "WeOpenML/PandaLM": "Apache-2.0",
    "allenai/FineGrainedRLHF": "Apache-2.0",
    "prometheus-eval/prometheus-eval": "Apache-2.0",
    "rasbt/LLMs-from-scratch": "Apache-2.0",
}
"""Value of a record's ``source`` -> licence: the only sources whose pairs may shape weights that are given away."""

BUNDLED_SOURCE = "normbt-lab bundled pairs"

LONGEST = 384
"""Most tokens of a prompt with a response: what a CPU trains on in reasonable time."""


@dataclass(frozen=True)
class Mix:
    """Training pairs with what has to be said about them.

    Attributes:
        pairs: Bundled pairs, then real ones.
        sources: Source -> number of its pairs.
        tokens: Token ids (chosen, rejected) of each pair.
    """

    pairs: Sequence[PreferencePair]
    sources: dict[str, int]
    tokens: Sequence[tuple[Sequence[int], Sequence[int]]]

    @property
    def lines(self) -> str:
        """The mix as JSON lines, without ratings: the objective is plain preference."""
        return "".join(json.dumps(_record(pair), ensure_ascii=False, sort_keys=True) + "\n" for pair in self.pairs)

    @property
    def sha256(self) -> str:
        """SHA-256 of `lines` in UTF-8: two mixes with the same digest are the same pairs in the same order."""
        return hashlib.sha256(self.lines.encode("utf-8")).hexdigest()

    def write(self, path: Path) -> None:
        """Write `lines`, whole or not at all.

        Raises:
            NormBTError: The file cannot be written.
        """
        write_whole(path, self.lines, "the training pairs")

    def plan(self) -> str:
        """How many pairs and tokens a run on this mix computes, for judging its time before it starts."""
        longer = sorted(max(len(chosen), len(rejected)) for chosen, rejected in self.tokens)
        both = sum(len(chosen) + len(rejected) for chosen, rejected in self.tokens)
        shared = both - sum(_shared_prefix(chosen, rejected) for chosen, rejected in self.tokens)
        by_source = [f"  {number:5,}  {source}" for source, number in self.sources.items()]
        return "\n".join(
            [
                f"{len(self.pairs):,} training pairs, SHA-256 {self.sha256}",
                *by_source,
                f"tokens of a pair's longer side: median {longer[len(longer) // 2]}, most {longer[-1]}",
                f"tokens of an epoch, both sides: {both:,} without padding; {shared:,} with common starts counted once",
            ]
        )


def make_mix(
    real_files: Sequence[str], bundled: int, real: int, tokenizer: PreTrainedTokenizerBase, seed: int = 0
) -> Mix:
    """The first bundled training pairs and a sample of real ones, balanced over their sources.

    Args:
        real_files: Pair files with a column ``source``; pairs of sources outside `PERMITTED_SOURCES` are passed over.
        bundled: Number of bundled pairs, in equal parts from each kind.
        real: Number of real pairs; a source that has too few is made up for by the others.
        tokenizer: Decides what is longer than `LONGEST` tokens.
        seed: Another one draws other real pairs.

    Raises:
        NormBTError: A file cannot be read, or the files hold fewer pairs that can be used than asked for.
    """
    chosen = [*load_bundled_pairs("train", limit=bundled), *sample_real(real_files, real, tokenizer, seed)]
    prepared = prepare_pairs(chosen, tokenizer, max_length=LONGEST)
    return Mix(
        prepared.pairs,
        dict(Counter(_source(pair) for pair in prepared.pairs)),
        [(tokenized.chosen_ids, tokenized.rejected_ids) for tokenized in prepared.tokenized],
    )


def sample_real(
    files: Sequence[str], number: int, tokenizer: PreTrainedTokenizerBase, seed: int = 0
) -> list[PreferencePair]:
    """Real pairs of permitted sources, taken from each source in turn until there are enough.

    Near-identical pairs stay in: what the two objectives do with them is the question.

    Args:
        files: As in `make_mix`.
        number: How many pairs; 0 reads no file.
        tokenizer: As in `make_mix`.
        seed: As in `make_mix`.
    """
    if number == 0:
        return []
    log = RejectLog()
    permitted = [pair for file in files for pair in read_pairs(file, rejects=log) if _source(pair) in PERMITTED_SOURCES]
    if not permitted:
        raise NormBTError(
            f"no pair of a permitted source in {', '.join(files) or 'no file'}: each record needs a column 'source' "
            f"with one of {', '.join(PERMITTED_SOURCES)}. Give such files by --real-pairs, or ask for --real 0"
        )
    usable = prepare_pairs(permitted, tokenizer, max_length=LONGEST, rejects=RejectLog()).pairs
    if len(usable) < number:
        raise NormBTError(
            f"{number} real pairs were asked for; the files hold {len(usable)} of permitted sources within {LONGEST} "
            "tokens. Ask for fewer with --real, or give more files by --real-pairs"
        )
    return list(islice(_in_turns(sorted(usable, key=lambda pair: _draw(pair, seed))), number))


def _in_turns(pairs: Iterable[PreferencePair]) -> Iterator[PreferencePair]:
    """The pairs of each source in their order, one source after the other, until all are through."""
    by_source: dict[str, list[PreferencePair]] = {source: [] for source in PERMITTED_SOURCES}
    for pair in pairs:
        by_source[_source(pair)].append(pair)
    for turn in range(max(map(len, by_source.values()))):
        yield from (members[turn] for members in by_source.values() if turn < len(members))


def _draw(pair: PreferencePair, seed: int) -> str:
    """A random-looking key that depends on nothing but the pair's content and the seed."""
    content = json.dumps([seed, pair.prompt, pair.chosen, pair.rejected], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def _source(pair: PreferencePair) -> str:
    # Bundled pairs have a template in the place of a source.
    return BUNDLED_SOURCE if "template" in pair.row else str(pair.row.get("source"))


def _record(pair: PreferencePair) -> dict[str, Any]:
    return {
        "prompt": pair.prompt,
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "category": pair.category,
        "source": _source(pair),
    }


def _shared_prefix(chosen: Sequence[int], rejected: Sequence[int]) -> int:
    pairs = zip(chosen, rejected, strict=False)
    return next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(chosen), len(rejected)))
