"""The command ``normbt``: parse, call, print.

Nothing is computed here, and a command imports what it needs when it runs, so that ``--help`` answers at once.
Exit codes: 0 done, 2 wrong use, 1 failure, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from normbt_lab.cli_options import (
    add_batch_size,
    add_input,
    add_json,
    add_layout,
    add_model_and_input,
    add_num_layers,
    add_rejects,
    add_reward_model,
    add_scoring,
    number_or_auto,
    number_or_none,
    positive,
    positive_or_none,
    scoring_arguments,
    text_or_none,
)
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.recipes import closest, list_recipes, load_recipe, parse_value

DONE, FAILURE, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``normbt`` with the given arguments (the process's own by default) and return its exit code."""
    words = [_with_dashes(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    debug = "--debug" in words
    _show_notices(debug)
    try:
        return _run([word for word in words if word != "--debug"])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left, as in `normbt score ... | head`. Python would complain again when it closes
        # stdout, so give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:  # the one place where any failure becomes one line
        if debug:
            traceback.print_exc()
        print(f"error: {_explain(error)}", file=sys.stderr)
        return WRONG_USE if isinstance(error, UsageError) else FAILURE


def _run(words: list[str]) -> int:
    parser = _parser()
    options, rest = parser.parse_known_args(words)
    if options.command is None:
        parser.print_help(sys.stderr)
        return WRONG_USE
    if rest and options.command != "train":
        raise UsageError(_unknown_words(rest, options.parser))
    return options.run(options, rest)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="normbt",
        description="Train, score and study reward models with NormBT and with the plain Bradley-Terry loss.",
        epilog="Start with 'normbt demo'. Each command explains itself: normbt train --help",
    )
    parser.add_argument("--version", action=_PrintVersion, help="print the version and exit")
    # Only listed here: `main` has taken it out already, so that it works before and after the command.
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show an error's traceback")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for add in (
        _add_demo,
        _add_train,
        _add_doctor,
        _add_score,
        _add_evaluate,
        _add_audit,
        _add_compare,
        _add_best_of_n,
        _add_experiment,
        _add_export,
        _add_app,
    ):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(run=run, parser=parser)
    return parser


# demo


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", _demo, "train and compare a Bradley-Terry and a NormBT reward model")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/demo"), help="default: runs/demo")
    parser.add_argument("--profile", choices=["smoke", "cpu", "gpu"], help="size of the run (default: by the machine)")
    parser.add_argument("--backbone", metavar="NAME", help="pretrained model to start from (default: the profile's)")
    add_num_layers(parser, "the backbone's")
    parser.add_argument("--pairs", type=positive, metavar="N", help="training pairs (default: the profile's)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")


def _demo(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.demo import run_demo

    return run_demo(
        options.output_dir,
        backbone=options.backbone,
        num_layers=options.num_layers,
        pairs=options.pairs,
        seed=options.seed,
        profile=options.profile or os.environ.get("NORMBT_PROFILE"),
    )


# train


def _add_train(commands: Any) -> None:
    parser = _command(commands, "train", _train, "train a reward model on preference pairs")
    # Only what is given ends up in the arguments: the defaults are the recipe's, then NormBTConfig's.
    parser.argument_default = argparse.SUPPRESS
    parser.epilog = (
        "Every other argument of TRL's RewardConfig and of transformers' TrainingArguments works as it does there, "
        "with dashes or underscores: --learning_rate 1e-4 --per_device_train_batch_size 8 --num_train_epochs 1. "
        "What is given here wins over the recipe."
    )
    run = parser.add_argument_group("run")
    run.add_argument("--config", metavar="RECIPE", help="YAML file, or the name of a bundled recipe")
    run.add_argument("--list-recipes", action="store_true", help="print the bundled recipes and exit")
    run.add_argument("--output-dir", metavar="DIR", help="where the reward model is written")
    run.add_argument(
        "--no-doctor", dest="doctor", action="store_false", help="do not examine the set-up first (see normbt doctor)"
    )
    model = parser.add_argument_group("model and data")
    model.add_argument("--model", metavar="NAME", help="smollm2-135m, a Hugging Face id, or a folder")
    model.add_argument("--num-layers", type=positive, metavar="K", help="use only the first K layers")
    model.add_argument("--adapter", choices=["none", "head", "lora", "qlora"], help="what trains")
    model.add_argument("--lora-r", type=positive, metavar="R", help="rank of LoRA's updates")
    model.add_argument("--lora-alpha", type=positive, metavar="A", help="their scale is lora_alpha / lora_r")
    model.add_argument("--accept-gemma-terms", action="store_true", help="agree to Google's terms for Gemma weights")
    model.add_argument("--train-data", metavar="PAIRS", help="file, folder, hub id, or bundled:train")
    model.add_argument("--train-pairs", type=positive_or_none, metavar="N", help="only the first N good pairs")
    model.add_argument("--train-stride", type=positive, metavar="N", help="take every Nth training pair")
    model.add_argument("--eval-data", type=text_or_none, metavar="PAIRS", help="the same, evaluated on; or none")
    model.add_argument("--max-length", type=positive_or_none, metavar="TOKENS", help="longest sequence, or none")
    model.add_argument("--overlong", choices=["drop", "truncate_left", "truncate_right"], help="what happens beyond it")
    loss = parser.add_argument_group("loss and weights")
    objectives = ["auto", "bradley_terry", "margin", "margin_outside", "label_smoothing"]
    loss.add_argument(
        "--objective", choices=objectives, help="loss of a pair; auto uses a margin where the data has it"
    )
    weightings = ["normbt", "uniform", "exact", "cosine", "average_pool", "d_opt"]
    loss.add_argument("--weighting", choices=weightings, help="weight of a pair; uniform is plain Bradley-Terry")
    loss.add_argument("--norm-alpha", type=float, metavar="ALPHA", help="strength of the weight, 0 to 1")
    loss.add_argument("--max-weight", type=number_or_none, metavar="W", help="bound of a weight, or none")
    loss.add_argument("--weight-norm", choices=["mean1"], help="scale the weights to mean 1")
    loss.add_argument("--ema-beta", type=number_or_none, metavar="BETA", help="decay of the running mean, or none")
    loss.add_argument("--ema-order", choices=["use_then_update", "update_then_use"], help="when the mean is updated")
    loss.add_argument("--ema-scope", choices=["step", "micro"], help="how often: per optimizer step or micro-batch")


def _train(options: argparse.Namespace, rest: list[str]) -> int:
    if "list_recipes" in options:
        for recipe in list_recipes():
            print(f"{recipe.name:24}{recipe.summary}")
        return DONE
    given = {name: value for name, value in vars(options).items() if name not in ("command", "run", "parser", "config")}
    settings = load_recipe(options.config) if "config" in options else {}
    arguments = {**settings, **given, **_trainer_arguments(rest)}
    for name, flag in (("model", "--model"), ("train_data", "--train-data"), ("output_dir", "--output-dir")):
        if arguments.get(name) is None:
            raise UsageError(f"normbt train needs {flag}, here or in the recipe. See normbt train --help")

    from normbt_lab.training import train_from_arguments

    folder = train_from_arguments(arguments)
    print(f"The reward model is in {folder}. {_next_step(folder, arguments)}")
    return DONE


def _next_step(folder: Path, arguments: dict[str, Any]) -> str:
    """How to evaluate a run's model on pairs of the kind that it was trained on.

    Example:
        >>> _next_step(Path("run"), {"train_data": "bundled:train"})
        'Next: normbt evaluate --model run --input bundled:test'
    """
    command = f"Next: normbt evaluate --model {shlex.quote(str(folder))} --input"
    trained_on, held_out = (str(arguments.get(name) or "") for name in ("train_data", "eval_data"))
    if trained_on.partition(":")[0] == "bundled":
        return f"{command} bundled:test"
    if held_out and held_out.partition(":")[0] != "bundled":  # a recipe's own, while the data are the user's
        return f"{command} {shlex.quote(held_out)}"
    return f"{command} PAIRS, where PAIRS are held-out pairs: none of those it trained on"


def _trainer_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Arguments meant for TRL and transformers, as ``--name value``, ``--name=value`` or ``--flag``.

    Their names are checked where TRL is imported, which takes seconds.

    Example:
        >>> _trainer_arguments(["--learning-rate", "1e-4", "--bf16", "--report-to", "wandb", "tensorboard"])
        {'learning_rate': 0.0001, 'bf16': True, 'report_to': ['wandb', 'tensorboard']}
    """
    found: dict[str, list[Any]] = {}
    values: list[Any] | None = None
    for word in words:
        if word.startswith("--"):
            name, is_assigned, value = word.removeprefix("--").partition("=")
            values = found[name.replace("-", "_")] = [parse_value(value)] if is_assigned else []
        elif values is None:
            raise UsageError(f"'{word}' belongs to no argument. Arguments look like --learning_rate 1e-4")
        else:
            values.append(parse_value(word))
    return {name: {0: True, 1: (values or [None])[0]}.get(len(values), values) for name, values in found.items()}


# doctor


def _add_doctor(commands: Any) -> None:
    parser = _command(commands, "doctor", _doctor, "examine model, data and settings before a run, in seconds")
    parser.epilog = "Exit code: 0 without errors (warnings and notes may be there), 1 with errors, 2 for wrong use."
    parser.add_argument("--model", metavar="NAME", help="backbone to train, or a reward model (default: the recipe's)")
    parser.add_argument("--input", metavar="PAIRS", help="file, hub id or bundled:train (default: the recipe's)")
    parser.add_argument("--config", metavar="RECIPE", help="YAML file or bundled recipe of the run that is planned")
    add_json(parser)


def _doctor(options: argparse.Namespace, rest: list[str]) -> int:
    settings = load_recipe(options.config) if options.config else None
    model = options.model or (settings or {}).get("model")
    if model is None:
        raise UsageError("normbt doctor needs --model, or a recipe that has one. See normbt doctor --help")

    from normbt_lab.doctor.named import examine_named

    diagnosis = examine_named(model, options.input or (settings or {}).get("train_data"), settings)
    print(json.dumps(diagnosis.to_json()) if options.json else diagnosis.table())
    return diagnosis.exit_code


# score


def _add_score(commands: Any) -> None:
    parser = _command(commands, "score", _score, "write the rewards, distance and weight of every pair")
    add_model_and_input(parser)
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="JSON lines, one per pair in order; - for stdout"
    )
    parser.add_argument(
        "--running-mean",
        type=number_or_auto,
        metavar="X",
        help="mean distance that weights refer to: a number, or auto to measure it first (default: the model's own)",
    )
    add_rejects(parser)


def _score(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.scoring import score_file

    score_file(
        options.model,
        options.input,
        options.output,
        running_mean=options.running_mean,
        **scoring_arguments(options),
        rejects=options.rejects,
    )
    return DONE


# evaluate


def _add_evaluate(commands: Any) -> None:
    parser = _command(commands, "evaluate", _evaluate, "measure accuracy on pairs, or the score on a public benchmark")
    add_model_and_input(parser, is_input_required=False)
    # The registry's names, written out because importing it takes a second.
    benchmarks = ["rewardbench", "rewardbench2", "rm-bench", "judgebench"]
    parser.add_argument(
        "--benchmark", choices=benchmarks, help="score by its rule; without --input, on its data set from the hub"
    )
    parser.add_argument(
        "--prior-sets", metavar="ROWS", help="rewardbench only: allenai/pref-test-sets, or a file with its rows"
    )
    parser.add_argument("--output", metavar="DIR", help="benchmark only: write result files in the benchmark's format")
    add_rejects(parser, "can't be scored")
    add_json(parser)


def _evaluate(options: argparse.Namespace, rest: list[str]) -> int:
    evaluation = _evaluate_pairs(options) if options.benchmark is None else _evaluate_benchmark(options)
    print(json.dumps(evaluation.to_json()) if options.json else evaluation.table())
    return DONE


def _evaluate_pairs(options: argparse.Namespace) -> Any:
    for flag, value in (("--output", options.output), ("--prior-sets", options.prior_sets)):
        if value is not None:
            raise UsageError(f"{flag} goes with --benchmark. See normbt evaluate --help")
    if options.input is None:
        raise UsageError("normbt evaluate needs --input, or --benchmark. See normbt evaluate --help")

    from normbt_lab.evaluation import evaluate_file

    return evaluate_file(
        options.model,
        options.input,
        **scoring_arguments(options),
        rejects=options.rejects,
    )


def _evaluate_benchmark(options: argparse.Namespace) -> Any:
    from normbt_lab.evaluation.benchmarks import evaluate_benchmark

    return evaluate_benchmark(
        options.model,
        options.benchmark,
        options.input,
        prior_sets=options.prior_sets,
        **scoring_arguments(options),
        rejects=options.rejects,
        output=options.output,
    )


# compare


def _add_compare(commands: Any) -> None:
    parser = _command(commands, "compare", _compare, "compare two reward models on the same pairs")
    add_model_and_input(parser)
    parser.add_argument("--baseline", required=True, metavar="DIR", help="the reward model it is compared with")
    parser.add_argument(
        "--base-model",
        metavar="NAME",
        help="backbone whose untrained distances make the bins, as in the paper (default: the trained baseline's)",
    )
    parser.add_argument("--bins", type=positive, default=5, metavar="N", help="distance bins; default: 5")
    add_rejects(parser)
    parser.add_argument("--output", metavar="FILE", help="also write an HTML page with figure and pairs")
    add_json(parser)


def _compare(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.evaluation.comparison_files import compare_files, write_comparison

    comparison = compare_files(
        options.model,
        options.baseline,
        options.input,
        base_model=options.base_model,
        **scoring_arguments(options),
        bins=options.bins,
        rejects=options.rejects,
    )
    if options.output is not None:
        write_comparison(options.output, comparison)
    print(json.dumps(comparison.to_json()) if options.json else comparison.table())
    return DONE


# best-of-n


def _add_best_of_n(commands: Any) -> None:
    parser = _command(commands, "best-of-n", _best_of_n, "measure how good the response is that a model picks out of n")
    parser.add_argument(
        "--candidates",
        default="bundled:checkable",
        metavar="FILE",
        help="prompt, response, gold and a column per proxy (default: bundled:checkable)",
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="DIR", help="a reward model to score them with; repeat for more"
    )
    parser.add_argument("--gold-model", metavar="DIR", help="reward model that stands for the truth (default: gold)")
    parser.add_argument("--prompts", type=positive, metavar="N", help="only the first N prompts (default: all)")
    parser.add_argument("--largest", type=positive, metavar="N", help="last n (default: all candidates of a prompt)")
    parser.add_argument("--output", metavar="HTML", help="page with the curves")
    parser.add_argument("--save-scores", metavar="FILE", help="candidates with all scores, to be read again")
    add_json(parser)
    add_scoring(parser)


def _best_of_n(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.evaluation.best_of_n_files import best_of_n_file, best_of_n_table, write_best_of_n_report

    result = best_of_n_file(
        options.candidates,
        options.model,
        gold_model=options.gold_model,
        prompts=options.prompts,
        largest=options.largest,
        save_scores=options.save_scores,
        **scoring_arguments(options),
    )
    if options.output is not None:
        write_best_of_n_report(options.output, result, options.candidates)
    print(json.dumps(result.to_json()) if options.json else best_of_n_table(result))
    return DONE


# experiment


def _add_experiment(commands: Any) -> None:
    parser = _command(commands, "experiment", _no_action, "run the paper's tables as suites of runs, and report them")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    run = _command(actions, "run", _run_experiment, "run what is not done yet of a suite, and write its report")
    run.add_argument("suite", metavar="SUITE", help="name of a suite, or a YAML file of your own")
    run.add_argument("--scale", choices=["smoke", "cpu", "gpu"], default="smoke", help="size (default: smoke, seconds)")
    run.add_argument("--output-dir", type=Path, metavar="DIR", help="default: runs/experiments")
    run.set_defaults(output_dir=Path("runs/experiments"))
    _command(actions, "list", _list_experiments, "print the suites and how many runs each is at each scale")
    report = _command(actions, "report", _report_experiments, "write the reports again from what has been run so far")
    report.add_argument("output_dir", type=Path, metavar="DIR", help="the --output-dir of the runs")


def _no_action(options: argparse.Namespace, rest: list[str]) -> int:
    raise UsageError("normbt experiment needs an action: run, list or report. See normbt experiment --help")


def _run_experiment(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.experiments.runner import plan, run_suite
    from normbt_lab.experiments.suite import load_suite
    from normbt_lab.experiments.suite_report import write_suite_report

    suite = load_suite(options.suite, options.scale)
    print("\n".join(plan(suite)))
    ledger = run_suite(suite, options.output_dir, options.suite)
    page = write_suite_report(ledger, options.output_dir)
    print(f"Report: {page} and {page.with_suffix('.md')}")
    return DONE


def _list_experiments(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.experiments.suite import SCALES, list_suites, load_suite

    for name, title in list_suites().items():
        runs = ", ".join(f"{load_suite(name, scale).runs()} at {scale}" for scale in SCALES)
        print(f"{name:10}{title} (runs: {runs}; gpu was not run by us)")
    return DONE


def _report_experiments(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.experiments.suite_report import write_reports

    for page in write_reports(options.output_dir):
        print(f"Report: {page} and {page.with_suffix('.md')}")
    return DONE


# audit


def _add_audit(commands: Any) -> None:
    parser = _command(commands, "audit", _audit, "measure exact gradients: how much NormBT would matter here")
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="reward model (folder or Hugging Face id), or a backbone"
    )
    add_input(parser)
    parser.add_argument("--pairs", type=positive, default=200, metavar="N", help="pairs drawn from it (default: 200)")
    parser.add_argument("--adapter", choices=["none", "head", "lora"], default="none", help="what a backbone trains")
    add_num_layers(parser, "a backbone's")
    add_batch_size(parser, "PAIRS", 4)
    parser.add_argument("--max-length", type=positive, default=1024, metavar="TOKENS", help="default: 1024")
    add_layout(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of a fresh head (default: 0)")
    parser.add_argument("--output", metavar="JSONL", help="one record per pair: scores, exact norm, norms by layer")
    parser.add_argument("--report", metavar="HTML", help="self-contained page with the figures")
    add_json(parser, "words and tables")


def _audit(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.audit import audit_file, write_audit_report, write_measured
    from normbt_lab.audit.tables import audit_table

    audit, measured = audit_file(
        options.model,
        options.input,
        pairs=options.pairs,
        adapter=options.adapter,
        num_layers=options.num_layers,
        batch_size=options.batch_size,
        max_length=options.max_length,
        layout=options.layout,
        seed=options.seed,
    )
    # Printed first: a file that cannot be written should not cost the minutes of measuring.
    print(json.dumps(audit.to_json()) if options.json else audit_table(audit), flush=True)
    if options.output is not None:
        write_measured(options.output, measured)
    if options.report is not None:
        write_audit_report(options.report, audit, measured, options.input)
    return DONE


# export


def _add_export(commands: Any) -> None:
    parser = _command(commands, "export", _export, "write a reward model as a plain checkpoint that other tools open")
    add_reward_model(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="new or empty folder for the checkpoint")
    parser.add_argument("--merge", action="store_true", help="add the adapter to the backbone's weights")
    parser.add_argument("--push-to-hub", metavar="OWNER/NAME", help="also upload it, to a private repository if new")


def _export(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.export import export_model

    export = export_model(options.model, options.output, merge=options.merge, push_to_hub=options.push_to_hub)
    print("\n".join(export.lines()))
    return DONE


# app


def _add_app(commands: Any) -> None:
    parser = _command(commands, "app", _app, "open a page that shows pairs through the eyes of reward models")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="DIR",
        help="a reward model: name, folder or Hugging Face id; repeat for more (default: the two shipped ones)",
    )
    parser.add_argument(
        "--compare", action="append", default=[], metavar="DIR", help="the model that is shown beside the first"
    )
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where the Training tab looks (default: runs)")
    parser.add_argument("--port", type=positive, help="default: the first free one from 7860")
    parser.add_argument("--share", action="store_true", help="also open a public address, as Colab needs")
    parser.add_argument(
        "--allow-models", action="store_true", help="visitors may name a folder or Hugging Face id of their own"
    )


def _app(options: argparse.Namespace, rest: list[str]) -> int:
    from normbt_lab.app import Settings, launch

    models = (*options.model[:1], *options.compare, *options.model[1:])
    settings = Settings(models, Path(options.runs), options.allow_models)
    launch(settings, share=options.share, port=options.port)
    return DONE


# errors and notices


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line, like every other error."""

    def __init__(self, **settings: Any) -> None:
        # Abbreviations would take TRL's --model_init_kwargs for --model.
        super().__init__(**{**settings, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See {self.prog} --help")


class _PrintVersion(argparse.Action):
    """Looks the version up when it is asked for: reading the installed metadata takes a while."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "nargs": 0, "default": argparse.SUPPRESS})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from normbt_lab.project import version

        print(f"normbt {version()}")
        parser.exit()


def _with_dashes(word: str) -> str:
    """An option's name in the spelling of this command line; TRL's users write underscores."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _unknown_words(words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    options = [option for action in parser._actions for option in action.option_strings]
    unknown = next((word for word in words if word.startswith("-")), words[0]).partition("=")[0]
    return f"unknown argument: {unknown}{closest(unknown, options)}. See {parser.prog} --help"


def _explain(error: Exception) -> str:
    """One line for a person: what went wrong, and what to do about it."""
    from normbt_lab.project import how_to_install

    if isinstance(error, NormBTError):
        message = str(error)
    elif isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("normbt_lab"):
        message = f"the package '{error.name}' is not installed. {how_to_install('all')}"
    elif isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        message = f"{error.strerror.lower()}{where}. Check the path, its permissions and the free space"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        message = "out of memory. Use smaller batches (per_device_train_batch_size, --batch-size) or shorter sequences"
    else:
        message = (
            f"{type(error).__name__}: {error}. This looks like a defect of normbt_lab: "
            "run again with --debug and report the traceback"
        )
    return re.sub(r"\s+", " ", message).strip()


def _show_notices(debug: bool) -> None:
    """Send this package's notices to stderr, so that stdout holds results only."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("normbt_lab")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    # It warns at every import on a CPU about a faster kernel that nobody here needs.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
