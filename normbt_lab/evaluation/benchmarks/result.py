"""The result of a benchmark: scores, calibration, and the protocol that produced them, for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from normbt_lab.evaluation.benchmarks.credits import BenchmarkScore
from normbt_lab.evaluation.benchmarks.items import ScoredItem
from normbt_lab.evaluation.calibration import Calibration
from normbt_lab.evaluation.tables import aligned, percent

HEADER = ["", "items", "score", "95 % interval", "strict", "half", "ties", "longer wins"]


@dataclass(frozen=True)
class Protocol:
    """How scores came about: what has to be equal before two of them are compared.

    Attributes:
        model: Name of the model.
        source: The data: hub id with its splits, or the name of a file.
        rows_sha256: Hash of the rows as sorted JSON lines, the same for JSONL, Parquet and the hub.
        file_sha256: Hash of the file; None where the data is no single file.
        items: Questions scored.
        rejected: Rows that could not be read or scored, which no score contains.
        dtype: Arithmetic of the backbone.
        device: Where it ran.
        batch_size: Most pairs of responses in one forward pass.
        max_length: Most tokens of a response with its prompt.
        truncated: Responses that were longer and were cut on the right.
        layout: ``shared_prefix`` where what two responses share was computed once, ``padded`` where each has a row.
        padding: Always on the right and masked.
        chat_template: ``tokenizer`` for the tokenizer's own, ``none`` where prompt and response are joined.
        versions: Of the packages that decide a reward.
    """

    model: str
    source: str
    rows_sha256: str
    file_sha256: str | None
    items: int
    rejected: int
    dtype: str
    device: str
    batch_size: int
    max_length: int
    truncated: int
    layout: str
    padding: str
    chat_template: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class BenchmarkResult:
    """What a model scored on a benchmark.

    Attributes:
        benchmark: Name in `BENCHMARKS`.
        title: What people call it.
        rule: How an item is counted by the benchmark's own rule.
        scores: The headline first, then sections, then subsets.
        details: What does not fit a line per score, by name.
        notes: What a reader has to know before comparing.
        calibration: Over every comparison of a right with a wrong response.
        protocol: How it was measured.
        items: The scored items, for figures and comparisons.
    """

    benchmark: str
    title: str
    rule: str
    scores: Sequence[BenchmarkScore]
    details: Mapping[str, Any]
    notes: Sequence[str]
    calibration: Calibration
    protocol: Protocol
    items: Sequence[ScoredItem] = field(default=(), repr=False, compare=False)

    @property
    def headline(self) -> BenchmarkScore:
        """The one number of the benchmark."""
        return self.scores[0]

    def score(self, name: str) -> BenchmarkScore:
        """The score of that name.

        Raises:
            KeyError: There is none; the message lists those there are.
        """
        for found in self.scores:
            if found.name == name:
                return found
        raise KeyError(f"no score {name!r} in {self.title}: it has {', '.join(found.name for found in self.scores)}")

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON object, as ``normbt evaluate --benchmark ... --json`` prints it."""
        return {
            "benchmark": self.benchmark,
            "rule": self.rule,
            "headline": self.headline.name,
            "scores": {found.name: found.to_json() for found in self.scores},
            "details": dict(self.details),
            "notes": list(self.notes),
            "calibration": self.calibration.to_json(),
            "protocol": {**asdict(self.protocol), "versions": dict(self.protocol.versions)},
        }

    def table(self) -> str:
        """The result for a terminal: one line per score, then what is needed to read it."""
        protocol, found = self.protocol, self.calibration
        lines = [
            f"{self.title}, {protocol.model}",
            aligned([HEADER, *map(_row, self.scores)]),
            f"Score: {self.rule}. Strict: ties wrong. Half: ties shared.",
            "Longer wins: the same rule with the number of tokens in the place of the reward, ties shared.",
            f"Calibration over {found.pairs:,} comparisons: Brier {found.brier:.4f}, "
            f"expected calibration error {100 * found.expected_calibration_error:.1f} points.",
            f"Protocol: {protocol.source}, rows sha256 {protocol.rows_sha256[:12]}; {protocol.dtype} on "
            f"{protocol.device}, batches of {protocol.batch_size}, {protocol.truncated:,} responses cut to "
            f"{protocol.max_length:,} tokens, {protocol.layout} layout, chat template: {protocol.chat_template}.",
            *(f"Note: {note}." for note in self.notes),
        ]
        return "\n".join(lines)


def _row(found: BenchmarkScore) -> list[str]:
    credit, (low, high) = found.credit, found.interval
    indent = {"overall": "", "section": "  ", "subset": "    "}[found.level]
    shares = [credit.strict, credit.half, credit.tie_rate, credit.length_baseline]
    interval = f"{100 * low:.1f} to {100 * high:.1f}"
    return [indent + found.name, f"{found.items:,}", percent(credit.score), interval, *map(percent, shares)]
