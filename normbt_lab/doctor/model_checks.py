"""Faults of a model in memory: its score head, its labels, the pad id it pools by, dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from normbt_lab.doctor.finding import Finding, Severity
from normbt_lab.dropout import active_dropout, attention_dropout
from normbt_lab.representations import score_head

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HEAD_LINK = "https://github.com/huggingface/trl/issues/1379"
QUANTISED_LINK = "https://github.com/unslothai/unsloth/issues/5027"
NAN_LINK = "https://github.com/4AI/LS-LLaMA/issues/19"
PAD_LINK = "https://github.com/huggingface/trl/issues/937"
LABELS_LINK = "https://github.com/OpenRLHF/OpenRLHF/issues/1039"
SIGMOID_LINK = "https://github.com/huggingface/trl/issues/173"
DROPOUT_LINK = "https://huggingface.co/docs/trl/reward_trainer"

SAVED_HEAD = "LoraConfig(task_type='SEQ_CLS', modules_to_save=['score'])"


def check_head(model: nn.Module, is_training: bool = True) -> list[Finding]:
    """``head_missing``, ``head_quantised``, ``head_frozen``, ``head_not_saved`` or ``head_not_finite``.

    Args:
        model: A sequence classifier, plain or under PEFT.
        is_training: The head is to be trained; one that is only used may be frozen.
    """
    try:
        weight = score_head(model).weight
    except ValueError as error:
        cause = "a reward is the output of a linear map called 'score' on the last token"
        fix = "AutoModelForSequenceClassification.from_pretrained(..., num_labels=1)"
        return [Finding("head_missing", Severity.ERROR, str(error), cause, fix, HEAD_LINK)]
    if not weight.is_floating_point():
        return [_quantised(weight.dtype)]
    findings = []
    if not weight.isfinite().all():
        findings.append(_not_finite())
    if is_training and not weight.requires_grad:
        findings.append(_frozen())
    elif is_training and _is_left_out_of_adapter(model):
        findings.append(head_not_saved("the adapter would be stored without the score head, which trains"))
    return findings


def head_not_saved(evidence: str) -> Finding:
    """The finding that a trained score head is not among what is stored."""
    return Finding(
        "head_not_saved",
        Severity.ERROR,
        evidence,
        "PEFT stores its own matrices and what modules_to_save names; a reload then draws a new, random head",
        f"{SAVED_HEAD}, and train again: the head is not in the files",
        HEAD_LINK,
    )


def _quantised(dtype: torch.dtype) -> Finding:
    return Finding(
        "head_quantised",
        Severity.ERROR,
        f"the score head is stored as {str(dtype).removeprefix('torch.')}",
        "bitsandbytes quantised it with the rest, and integers cannot train",
        "BitsAndBytesConfig(..., llm_int8_skip_modules=['score']), starting from the checkpoint that is not quantised",
        QUANTISED_LINK,
    )


def _not_finite() -> Finding:
    return Finding(
        "head_not_finite",
        Severity.ERROR,
        "the score head holds NaN or infinite numbers",
        "it was never initialised, or a run diverged before it was stored",
        "draw a new head, or go back to a checkpoint whose loss was finite",
        NAN_LINK,
    )


def _frozen() -> Finding:
    return Finding(
        "head_frozen",
        Severity.ERROR,
        "the score head has requires_grad = False",
        "it was drawn at random and stays so: PEFT freezes it unless the task type or modules_to_save says otherwise",
        SAVED_HEAD,
        HEAD_LINK,
    )


def _is_left_out_of_adapter(model: nn.Module) -> bool:
    if not hasattr(model, "peft_config"):
        return False
    from peft import get_peft_model_state_dict

    return not any(
        name.split(".")[-2:-1] == ["score"] for name in get_peft_model_state_dict(model, save_embedding_layers=False)
    )


def check_labels(config: Any) -> list[Finding]:
    """``two_labels`` or ``problem_type``: a head of several outputs, or one that a pipeline sends through a sigmoid.

    Args:
        config: The model's configuration, as it is stored.
    """
    if config.num_labels != 1:
        return [
            Finding(
                "two_labels",
                Severity.ERROR,
                f"the configuration has {config.num_labels} labels",
                "a reward is one number; transformers' default of two labels builds another head at the next load",
                "num_labels=1 and id2label={0: 'reward'}, at training and at every load",
                LABELS_LINK,
            )
        ]
    if config.problem_type == "regression":
        return []
    return [
        Finding(
            "problem_type",
            Severity.WARNING,
            f"the configuration's problem_type is {config.problem_type!r}",
            "pipeline('text-classification') then returns a sigmoid of the reward, which saturates and ties",
            "model.config.problem_type = 'regression' before saving, or function_to_apply='none' at each call",
            SIGMOID_LINK,
        )
    ]


def check_pad_id(config: Any, tokenizer: PreTrainedTokenizerBase) -> list[Finding]:
    """``pad_id_missing`` or ``pad_id_differs``: the model pools by another pad id than the tokenizer pads with.

    Args:
        config: The model's configuration.
        tokenizer: The tokenizer that batches are made with.
    """
    pad_id = config.get_text_config().pad_token_id
    if tokenizer.pad_token_id is None or pad_id == tokenizer.pad_token_id:
        return []  # a tokenizer without one is check_pad_token's finding
    fix = f"model.config.pad_token_id = tokenizer.pad_token_id (here {tokenizer.pad_token_id})"
    if pad_id is None:
        cause = "the model cannot tell where a response ends: it refuses batches, or pools at padding"
        return [
            Finding("pad_id_missing", Severity.ERROR, "model.config.pad_token_id is None", cause, fix, PAD_LINK),
        ]
    evidence = f"the model's pad id is {pad_id}, the tokenizer's {tokenizer.pad_token_id}"
    cause = "the model takes padding for text and reads the reward of every shorter response there"
    return [Finding("pad_id_differs", Severity.ERROR, evidence, cause, fix, PAD_LINK)]


def check_dropout(model: nn.Module, disable_dropout: bool = True) -> list[Finding]:
    """``dropout_on``: the two responses of a pair would go through two different networks.

    Args:
        model: The model that is to train.
        disable_dropout: TRL's argument. It reaches modules of type ``nn.Dropout``; the attention of most models keeps
            its rate in a number, which stays.
    """
    rates = attention_dropout(model) if disable_dropout else active_dropout(model)
    if not rates:
        return []
    name, rate = max(rates.items(), key=lambda item: item[1])
    return [
        Finding(
            "dropout_on",
            Severity.WARNING,
            f"{len(rates):,} places drop activations in training, the most {rate:.0%} ({name})",
            "chosen and rejected then differ by chance too, which adds to the distance that the weight divides by",
            "disable_dropout: true, lora_dropout: 0, and attention_dropout=0 in the model's configuration, which TRL's "
            "disable_dropout does not reach",
            DROPOUT_LINK,
        )
    ]
