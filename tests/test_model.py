"""Reward models through the hands of stock transformers and PEFT: what was trained is what they load."""

import json

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, pipeline

from normbt_lab.backbones import resolve_backbone
from normbt_lab.certificate import rewards_of, stock_rewards
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.model import ADAPTERS, UntrainedHeadError, build_reward_model, load_reward_model, save_reward_model
from normbt_lab.representations import score_head
from normbt_lab.state import STATE_FILE, NormBTState

SAMPLE = [([20, 21, 22, 23], [20, 21, 24]), ([30, 31], [30, 32, 33, 34])]


def trained(backbone, adapter, dtype=torch.float32):
    """A model whose every trained parameter has left its start, as after training."""
    model = build_reward_model(backbone, adapter, seed=0, dtype=dtype).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return model


def save(model, tokenizer, folder, quantized=False):
    about = {"name": "tiny-random", "quantized": quantized}
    return save_reward_model(model, tokenizer, folder, NormBTState(1.5, 3, backbone=about), SAMPLE)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_saved_model_gives_the_rewards_it_was_trained_to_give(backbone, tokenizer, tmp_path, adapter):
    model = trained(backbone, adapter)
    expected = rewards_of(model, SAMPLE)
    certificate = save(model, tokenizer, tmp_path, quantized=adapter == "qlora")
    assert max(certificate.differences.values()) <= 1e-4
    reloaded = load_reward_model(str(tmp_path))
    torch.testing.assert_close(rewards_of(reloaded.model, SAMPLE), expected, atol=1e-5, rtol=1e-5)
    assert reloaded.state.running_mean == 1.5
    assert not list(tmp_path.glob(".saving*"))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT 0.21 on transformers 5.23
def test_stock_loaders_open_an_adapter_folder_with_no_further_argument(backbone, tokenizer, tmp_path):
    save(trained(backbone, "lora"), tokenizer, tmp_path)
    expected = rewards_of(load_reward_model(str(tmp_path)).model, SAMPLE)
    for loader in (AutoModelForSequenceClassification, AutoPeftModelForSequenceClassification):
        model = loader.from_pretrained(str(tmp_path)).eval()
        assert model.config.num_labels == 1
        torch.testing.assert_close(stock_rewards(model, SAMPLE), expected, atol=0.05, rtol=0.05)  # it loads bfloat16


def test_a_pipeline_gives_the_raw_reward_and_no_sigmoid(backbone, tokenizer, tmp_path):
    save(trained(backbone, "none"), tokenizer, tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(str(tmp_path), dtype=torch.float32)
    text = "a plain sentence"
    raw = model(**tokenizer(text, return_tensors="pt")).logits.item()
    (answer,) = pipeline("text-classification", model=model, tokenizer=tokenizer)(text)
    assert answer["score"] == pytest.approx(raw, abs=1e-5)
    assert answer["label"] == "reward"


def test_what_is_written_is_safetensors_and_text(backbone, tokenizer, tmp_path):
    save(trained(backbone, "lora"), tokenizer, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".safetensors", ".json", ".md", ".jinja"}


def test_the_head_is_drawn_from_the_seed_alone(backbone):
    first = score_head(build_reward_model(backbone, "none", seed=3)).weight.clone()
    torch.rand(7)  # something else happens in between
    assert torch.equal(first, score_head(build_reward_model(backbone, "none", seed=3)).weight)
    assert not torch.equal(first, score_head(build_reward_model(backbone, "none", seed=4)).weight)


@pytest.mark.parametrize(
    ("adapter", "trains"), [("head", {"score"}), ("lora", {"score", "lora"}), ("qlora", {"score", "lora"})]
)
def test_only_what_the_adapter_names_trains_and_in_float32(backbone, adapter, trains):
    model = build_reward_model(backbone, adapter, seed=0, dtype=torch.bfloat16)
    training = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {
        "lora" if "lora" in name else name.split(".")[-2 if adapter == "head" else 2] for name in training
    } == trains
    assert {p.dtype for p in training.values()} == {torch.float32}


def test_the_head_of_a_four_bit_model_is_not_quantised(backbone):
    model = build_reward_model(backbone, "qlora", seed=0)
    assert score_head(model).weight.dtype == torch.float32
    assert any(p.dtype == torch.uint8 for p in model.parameters())  # the backbone is


def test_a_layer_norm_before_the_head_is_not_saved_and_says_why(backbone, tokenizer, tmp_path):
    model = build_reward_model(backbone, "none", seed=0, head_layer_norm=True)
    with pytest.raises(UsageError, match="LayerNorm"):
        save(model, tokenizer, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_language_model_without_a_head_is_no_reward_model(backbone):
    with pytest.raises(UntrainedHeadError, match="without a trained score head"):
        load_reward_model(backbone.path)


def test_a_folder_that_is_not_there_is_named_with_the_fix(tmp_path):
    with pytest.raises(NormBTError, match="normbt train"):
        load_reward_model(str(tmp_path / "nothing"))


def test_an_adapter_for_another_backbone_is_refused(backbone, tokenizer, tmp_path):
    save(trained(backbone, "lora"), tokenizer, tmp_path)
    (tmp_path / STATE_FILE).unlink()
    shallow = resolve_backbone("tiny-random", num_layers=1)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": shallow.path}))
    with pytest.raises(NormBTError, match="another"):
        load_reward_model(str(tmp_path))


def test_an_adapter_whose_backbone_has_other_weights_is_refused(backbone, tokenizer, tmp_path):
    save(trained(backbone, "lora"), tokenizer, tmp_path)
    about = {"name": "tiny-random", "sha256": "0" * 64}
    NormBTState(1.5, backbone=about).write(tmp_path)
    with pytest.raises(NormBTError, match="SHA-256"):
        load_reward_model(str(tmp_path))


def test_an_adapter_finds_its_backbone_by_name_where_the_stored_path_is_of_another_machine(
    backbone, tokenizer, tmp_path
):
    model = trained(backbone, "lora")
    expected = rewards_of(model, SAMPLE)
    save(model, tokenizer, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/elsewhere/x"}))
    torch.testing.assert_close(rewards_of(load_reward_model(str(tmp_path)).model, SAMPLE), expected)


def test_a_file_in_the_way_of_the_folder_is_left_as_it_was(backbone, tokenizer, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(NormBTError, match="cannot write the model"):
        save(trained(backbone, "lora"), tokenizer, blocked)
    assert blocked.read_text() == "in the way"


def test_files_that_do_not_give_the_same_rewards_are_not_put_in_place(backbone, tokenizer, tmp_path, monkeypatch):
    """A head that PEFT does not save is the classic: take it out of what is written and see the certificate refuse."""
    model = trained(backbone, "lora")
    stock_save = type(model).save_pretrained

    def save_without_head(self, folder):
        stock_save(self, folder)
        path = str(folder / "adapter_model.safetensors")
        save_file({name: tensor for name, tensor in load_file(path).items() if "score" not in name}, path)

    monkeypatch.setattr(type(model), "save_pretrained", save_without_head)
    with pytest.raises(NormBTError, match="Nothing was stored under the final name"):
        save(model, tokenizer, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_dtype_is_refused(tmp_path):
    with pytest.raises(UsageError, match="float32"):
        load_reward_model(str(tmp_path), dtype="float8")
