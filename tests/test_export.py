"""Exported reward models in the hands of the tools that open them: the rewards are those of the trained model."""

import json

import pytest
import torch
from datasets import Dataset
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from trl import RewardConfig, RewardTrainer

from normbt_lab.certificate import rewards_of, stock_rewards
from normbt_lab.cli import DONE, FAILURE, WRONG_USE, main
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.export import export_model, merged
from normbt_lab.model import build_reward_model, load_reward_model, save_reward_model
from normbt_lab.state import NormBTState

SAMPLE = [([20, 21, 22, 23], [20, 21, 24]), ([30, 31], [30, 32, 33, 34])]


def trained_folder(backbone, tokenizer, folder, adapter):
    """The files of a model whose trained parameters have all left their start."""
    model = build_reward_model(backbone, adapter, seed=0).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    about = {"name": "tiny-random", "quantized": adapter == "qlora"}
    save_reward_model(model, tokenizer, folder, NormBTState(1.5, 3, backbone=about), SAMPLE)
    (folder / "README.md").write_text(
        f'# {folder.name}: a reward model\n\nfrom_pretrained("{folder.name}")\n\nRound trip: old.\n\n## Data\n\nkept\n'
    )
    return folder


@pytest.fixture(scope="module")
def adapter(backbone, tokenizer, tmp_path_factory):
    return trained_folder(backbone, tokenizer, tmp_path_factory.mktemp("trained") / "lora", "lora")


@pytest.fixture(scope="module")
def export(adapter, tmp_path_factory):
    return export_model(str(adapter), tmp_path_factory.mktemp("exported") / "merged", merge=True)


@pytest.fixture(scope="module")
def expected(adapter):
    """Rewards of the adapter in float32, by this package's own forward pass."""
    return rewards_of(load_reward_model(str(adapter), device="cpu").model, SAMPLE)


def test_a_merged_checkpoint_is_one_plain_model_with_one_type_and_no_trace_of_an_adapter(export):
    assert not (export.folder / "adapter_config.json").exists()
    config = json.loads((export.folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert config["problem_type"] == "regression"
    assert config["id2label"] == {"0": "reward"}
    assert config["pad_token_id"] is not None
    with safe_open(export.folder / "model.safetensors", framework="pt") as stored:
        assert {stored.get_tensor(name).dtype for name in stored.keys()} == {torch.float32}
        assert "score.weight" in stored.keys()
        assert not [name for name in stored.keys() if "lora" in name]


def test_transformers_reads_the_rewards_of_the_trained_model(export, expected):
    model = AutoModelForSequenceClassification.from_pretrained(export.folder, dtype=torch.float32).eval()
    torch.testing.assert_close(stock_rewards(model, SAMPLE), expected, atol=1e-4, rtol=0)


def test_a_pipeline_opened_by_name_gives_raw_rewards(export, adapter):
    text = "a plain sentence"
    trained = load_reward_model(str(adapter), device="cpu")
    with torch.no_grad():
        raw = trained.model(**trained.tokenizer(text, return_tensors="pt")).logits.item()
    (answer,) = pipeline("text-classification", model=str(export.folder), dtype=torch.float32, device="cpu")(text)
    assert answer["label"] == "reward"
    assert answer["score"] == pytest.approx(raw, abs=1e-4)


def test_trl_opens_it_by_name_and_evaluates_the_loss_of_its_rewards(export, expected, tmp_path):
    rows = Dataset.from_list([{"chosen_ids": chosen, "rejected_ids": rejected} for chosen, rejected in SAMPLE])
    arguments = RewardConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        model_init_kwargs={"dtype": "float32"},
    )
    trainer = RewardTrainer(model=str(export.folder), args=arguments, train_dataset=rows, eval_dataset=rows)
    difference = expected[:, 0] - expected[:, 1]
    by_hand = torch.log1p(torch.exp(-difference)).mean().item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(by_hand, abs=1e-4)


def test_the_rewardbench_loader_reads_it(export, expected, tokenizer):
    """Its steps by hand: both Auto classes by name, texts padded together, the logits as they are."""
    texts = [tokenizer.decode(ids) for side in zip(*SAMPLE, strict=True) for ids in side]
    stock = AutoTokenizer.from_pretrained(export.folder)
    assert [stock(text)["input_ids"] for text in texts] == [ids for side in zip(*SAMPLE, strict=True) for ids in side]
    model = AutoModelForSequenceClassification.from_pretrained(export.folder, dtype=torch.float32).eval()
    inputs = stock(texts, truncation=True, max_length=2048, padding=True, return_tensors="pt")
    with torch.no_grad():
        rewards = model(**inputs).logits.flatten()
    torch.testing.assert_close(rewards, expected.T.flatten(), atol=1e-4, rtol=0)


def test_the_certificate_names_adapter_merged_bfloat16_and_pipeline_on_16_pairs(export):
    certificate = export.certificate
    assert certificate.pairs == 16
    assert list(certificate.differences) == [
        "the adapter, loaded by PEFT",
        'pipeline("text-classification")',
        "RewardBench's padded batches of 8",
        "AutoModelForSequenceClassification",
    ]
    assert max(certificate.differences.values()) <= 1e-4
    assert 1e-4 < certificate.bfloat16_difference < 1  # 8 significant bits cannot be exact


def test_the_card_keeps_the_training_and_replaces_name_and_certificate(export):
    card = (export.folder / "README.md").read_text()
    assert card.startswith("# merged: a reward model")
    assert 'from_pretrained("merged")' in card
    assert "Round trip: old." not in card
    assert "## Data\n\nkept" in card
    assert "on 16 pairs" in card
    assert card.count("A stock load in bfloat16 ") == 1
    assert '| pipeline("text-classification") |' in card


def test_the_running_mean_stays_with_the_merged_model(export):
    reloaded = load_reward_model(str(export.folder), device="cpu")
    assert reloaded.state.running_mean == 1.5
    assert reloaded.state.backbone["quantized"] is False


@pytest.mark.parametrize("kind", ["none", "head"])
def test_a_full_checkpoint_is_exported_without_merging(backbone, tokenizer, tmp_path, kind):
    source = trained_folder(backbone, tokenizer, tmp_path / "full", kind)
    export = export_model(str(source), tmp_path / "out")
    assert "AutoModelForSequenceClassification" in export.certificate.differences
    with pytest.raises(UsageError, match="no adapter to merge"):
        export_model(str(source), tmp_path / "again", merge=True)


def test_an_adapter_exported_without_merging_stays_an_adapter(adapter, tmp_path):
    export = export_model(str(adapter), tmp_path / "out")
    assert (export.folder / "adapter_config.json").is_file()
    assert "AutoPeftModelForSequenceClassification" in export.certificate.differences


def test_a_four_bit_model_merges_to_what_its_four_bit_numbers_stand_for(backbone, tokenizer, tmp_path):
    source = trained_folder(backbone, tokenizer, tmp_path / "qlora", "qlora")
    export = export_model(str(source), tmp_path / "merged", merge=True)
    assert max(export.certificate.differences.values()) <= 1e-4
    assert "quantization_config" not in json.loads((export.folder / "config.json").read_text())
    with safe_open(export.folder / "model.safetensors", framework="pt") as stored:
        assert {stored.get_tensor(name).dtype for name in stored.keys()} == {torch.float32}


def test_a_merge_that_changes_the_rewards_is_not_stored(adapter, tmp_path, monkeypatch):
    """As when a merge drops the trained head: the fresh one below gives other rewards."""

    def with_another_head(reward):
        model = merged(reward)
        torch.nn.init.normal_(model.score.weight)
        return model

    monkeypatch.setattr("normbt_lab.export.merged", with_another_head)
    with pytest.raises(NormBTError, match="do not give the rewards"):
        export_model(str(adapter), tmp_path / "out", merge=True)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_files_is_refused(adapter):
    with pytest.raises(UsageError, match="new or empty folder"):
        export_model(str(adapter), adapter, merge=True)


def test_the_command_prints_the_differences_and_the_folder(adapter, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["export", "--model", str(adapter), "--merge", "--output", str(output)]) == DONE
    printed = capsys.readouterr().out
    assert "on 16 pairs" in printed
    assert printed.endswith(f"The stock checkpoint is in {output}\n")
    assert main(["export", "--model", str(adapter), "--merge", "--output", str(output)]) == WRONG_USE


def test_an_upload_that_fails_leaves_the_export_and_says_what_to_do(adapter, tmp_path, capsys):
    """The hub cannot be reached in tests."""
    output = tmp_path / "out"
    arguments = ["export", "--model", str(adapter), "--merge", "--output", str(output), "--push-to-hub", "me/reward"]
    assert main(arguments) == FAILURE
    assert "hf auth login" in capsys.readouterr().err
    assert (output / "model.safetensors").is_file()
