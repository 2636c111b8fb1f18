"""Candidates of a language model for the checkable prompts, each judged by the program that knows the constraints.

Made once for the package with

    python -m normbt_lab.data.checkable.make_candidates --output candidates.jsonl.gz

Each finished prompt goes to ``OUTPUT.partial`` at once; the same command goes on after the last one, and ``--minutes``
stops a run in time. The draw of a prompt depends on the seed and the prompt's own number only, so a run in two parts
gives what one run gives (on one machine: another processor may round, and then draw, otherwise).
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from normbt_lab.data.checkable.prompts import PROMPTS, CheckablePrompt, checkable_prompts
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.whole_files import write_whole

COMMAND = "python -m normbt_lab.data.checkable.make_candidates"


@dataclass(frozen=True)
class Sampling:
    """How candidates are drawn: from the model's own distribution, neither cut to likely tokens nor penalised.

    Best-of-n is n draws from the policy itself; only then is its KL divergence what the figure's axis says.

    Attributes:
        backbone: Name that `resolve_backbone` takes.
        candidates: Responses of each prompt.
        max_new_tokens: Most tokens of a response; a longer one is cut there and judged as it stands.
        temperature: 1 leaves the model's distribution as it is.
        seed: Of the draws.
        dtype: Arithmetic.
    """

    backbone: str = "smollm2-135m"
    candidates: int = 32
    max_new_tokens: int = 60
    temperature: float = 0.7
    seed: int = 0
    dtype: str = "bfloat16"


def make_candidates(
    output: Path, prompts: Sequence[CheckablePrompt], sampling: Sampling, minutes: float | None = None
) -> int:
    """Number of prompts in the written file: one JSON line per candidate with `prompt`, `response`, `gold`.

    Args:
        output: The file, gzip where its name ends in ``.gz``; it is there when the run is over.
        prompts: What is answered.
        sampling: How.
        minutes: Start no further prompt after that time; None for no limit.

    Raises:
        NormBTError: No prompt was finished in the time.
    """
    started = time.monotonic()
    partial = Path(f"{output}.partial")
    done = _read_partial(partial, prompts, sampling)
    waiting = prompts[len(done) :]
    if waiting:
        responses = _responses(waiting, len(done), sampling)
        with partial.open("a", encoding="utf-8") as stream:
            for prompt in tqdm(waiting, desc="prompts"):
                if minutes is not None and time.monotonic() - started > 60 * minutes:
                    break
                record = {"sampling": vars(sampling), "prompt": prompt.text, "responses": next(responses)}
                stream.write(json.dumps(record) + "\n")
                stream.flush()
                done.append(record["responses"])
    if not done:
        raise NormBTError(f"no prompt was finished in {minutes} minutes: give --minutes more, or leave it out")
    _write(output, prompts, done)
    if len(done) == len(prompts):
        partial.unlink()
    return len(done)


def _read_partial(partial: Path, prompts: Sequence[CheckablePrompt], sampling: Sampling) -> list[list[str]]:
    """Responses of the prompts that an earlier run with the same sampling finished; others are no part of this run."""
    done = []
    if partial.exists():
        for line, prompt in zip(partial.read_text(encoding="utf-8").splitlines(), prompts, strict=False):
            record = json.loads(line)
            if record["sampling"] != vars(sampling) or record["prompt"] != prompt.text:
                raise UsageError(f"{partial} comes from other prompts or settings: delete it, or name another output")
            done.append(record["responses"])
    return done


def _responses(prompts: Sequence[CheckablePrompt], first: int, sampling: Sampling) -> Iterator[list[str]]:
    """Each prompt's responses, in order; `first` is the number of the first prompt, for its seed."""
    import torch
    from transformers import AutoModelForCausalLM

    from normbt_lab.backbones import load_tokenizer, resolve_backbone

    backbone = resolve_backbone(sampling.backbone)
    tokenizer = load_tokenizer(backbone)
    # The folder opens as a reward model and as the language model it is.
    model: Any = AutoModelForCausalLM.from_pretrained(backbone.path, dtype=getattr(torch, sampling.dtype)).eval()
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    for number, prompt in enumerate(prompts, start=first):
        turns = [{"role": "user", "content": prompt.text}]
        inputs = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(model.device)
        torch.manual_seed(sampling.seed * PROMPTS + number)
        with torch.no_grad():
            tokens = model.generate(
                **inputs,
                do_sample=True,
                temperature=sampling.temperature,
                top_k=0,
                top_p=1.0,
                max_new_tokens=sampling.max_new_tokens,
                num_return_sequences=sampling.candidates,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = tokens[:, inputs["input_ids"].shape[1] :]
        yield [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]


def _write(output: Path, prompts: Sequence[CheckablePrompt], responses: Sequence[Sequence[str]]) -> None:
    """The candidates with their gold scores; the same candidates give the same bytes."""
    lines = [
        json.dumps({"prompt": prompt.text, "response": response, "gold": prompt.gold(response)}, ensure_ascii=False)
        for prompt, answers in zip(prompts, responses, strict=False)
        for response in answers
    ]
    content = ("\n".join(lines) + "\n").encode()
    # Without a time stamp in it.
    write_whole(output, gzip.compress(content, mtime=0) if output.suffix == ".gz" else content, "the candidates")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the candidates; 0 on success, 2 on wrong use, 1 on failure."""
    usual = Sampling()
    parser = argparse.ArgumentParser(prog=COMMAND, description="Draw candidates for the checkable prompts, and judge.")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines; compressed where it ends in .gz")
    parser.add_argument("--backbone", default=usual.backbone, help=f"default: {usual.backbone}")
    parser.add_argument("--prompts", type=int, default=PROMPTS, help=f"how many (default and most: {PROMPTS})")
    parser.add_argument("--candidates", type=int, default=usual.candidates, help="of each prompt (default: 32)")
    parser.add_argument("--max-new-tokens", type=int, default=usual.max_new_tokens, help="default: 60")
    parser.add_argument("--temperature", type=float, default=usual.temperature, help="default: 1.0")
    parser.add_argument("--seed", type=int, default=usual.seed, help="of the draws (default: 0)")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default=usual.dtype, help="default: bfloat16")
    parser.add_argument("--minutes", type=float, help="start no further prompt after that time")
    options = parser.parse_args(arguments)
    sampling = Sampling(
        backbone=options.backbone,
        candidates=options.candidates,
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        seed=options.seed,
        dtype=options.dtype,
    )
    try:
        finished = make_candidates(options.output, checkable_prompts(options.prompts), sampling, options.minutes)
    except NormBTError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    count = f"{finished} prompt{'s' if finished != 1 else ''}"
    print(f"{count} with {sampling.candidates} candidates each in {options.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
