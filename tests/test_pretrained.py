"""Starting from timm's weights: the recipe of faceperc-base, a local checkpoint, and no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from test_train import recipe
from tiny_pack import tiny_config, write_pack

import faceperc
from faceperc.backbone import Backbone, BackboneConfig
from faceperc.config import FaceModelConfig
from faceperc.errors import ConfigError, ModelError
from faceperc.hub import Place
from faceperc.model import FaceModel
from faceperc.train import main

BASE = ["configs/train/nano.yaml", "configs/train/base.yaml"]


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """timm's file of a tiny ViT with a classifier, as on the Hub."""
    torch.manual_seed(7)
    path = tmp_path / "checkpoint" / "model.safetensors"
    path.parent.mkdir()
    save_file(timm.create_model("test_vit").state_dict(), path)

    def fetch(place: Place, file: str, sha256: str | None = None) -> Path:
        assert (place.repo, file) == ("timm/test_vit.r160_in1k", "model.safetensors")
        return path

    monkeypatch.setattr("faceperc.backbone.fetch", fetch)
    return path


def test_base__the_recipe_builds_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """As the command reads it: two networks laid over each other must not mix."""
    with pytest.raises(SystemExit):
        main([*BASE, "--print_config"])
    network = yaml.safe_load(capsys.readouterr().out)["model"]["network"]
    backbone = network["backbone"]
    assert backbone["pretrained"] and not backbone["conv_stem"] and "depth" not in backbone["options"]
    assert timm.models.get_pretrained_cfg(backbone["name"]).license == "apache-2.0"
    backbone["pretrained"] = False
    model = FaceModel(FaceModelConfig.from_dict(network)).eval()
    row = faceperc.model_info("faceperc-base")
    assert row.parameters == sum(each.numel() for each in model.parameters())
    assert (row.input_size, set(row.tasks)) == (model.config.crop_rule.size, set(model.tasks))
    with torch.inference_mode():
        answers = model.decode(model(torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8)))
    assert answers["landmarks"]["points"].shape == (1, 68, 2)
    assert answers["parsing"]["scores"].shape == (1, 11, 112, 112)
    assert all(value.isfinite().all() for fields in answers.values() for value in fields.values())


def test_timms_weights_are_loaded_and_fitted_to_the_image_size(checkpoint: Path) -> None:
    plain, started = (
        Backbone(BackboneConfig("test_vit", image_size=64, blocks=2, pretrained=pretrained))
        for pretrained in (False, True)
    )
    theirs = timm.create_model("test_vit")
    theirs.load_state_dict(_weights(checkpoint))
    ours, before = started.vit.state_dict(), plain.vit.state_dict()
    matrices = [name for name in ours if name.startswith("blocks.") and name.endswith("qkv.weight")]
    assert len(matrices) == len(plain.vit.blocks)
    for name in matrices:
        assert torch.equal(ours[name], theirs.state_dict()[name])
        assert not torch.equal(ours[name], before[name])
    # 160 px there, 64 px here: the positions are resampled by timm
    assert theirs.pos_embed.shape[1] > ours["pos_embed"].shape[1] == before["pos_embed"].shape[1]


def _weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_what_timms_weights_do_not_fit_is_said(checkpoint: Path) -> None:
    for changes, reason in (
        ({"name": "test_vit.nowhere"}, "timm cannot create 'test_vit.nowhere'"),
        ({"name": "vit_small_r26_s32_nothing"}, "no weights of 'vit_small_r26_s32_nothing'"),
        ({"conv_stem": True}, "no conv_stem"),
        ({"options": {"embed_dim": 32}}, "timm cannot create 'test_vit'"),
    ):
        values: dict[str, Any] = {"name": "test_vit", "image_size": 64, "blocks": 1, "pretrained": True}
        with pytest.raises(ConfigError, match=reason):
            Backbone(BackboneConfig(**(values | changes)))


def test_training_records_timms_weights_as_a_source(checkpoint: Path, tmp_path: Path) -> None:
    network = tiny_config()["backbone"] | {"pretrained": True}
    path = recipe(tmp_path, write_pack(tmp_path / "pack"), backbone=network)
    assert main([str(path), "--data.epoch_size", "16", "--trainer.limit_val_batches", "0"]) == 0
    sources = json.loads((tmp_path / "run/model/training.json").read_text())["data"]
    licence = timm.models.get_pretrained_cfg("test_vit").license
    (timms,) = (source for source in sources if source["name"] == "test_vit")
    assert timms["licence"] == licence and "timm" in timms["origin"]
    assert "w300" in {source["name"] for source in sources}
    checkpoint.unlink()
    assert FaceModel.load(tmp_path / "run/model").tasks  # the weights are its own now


@pytest.mark.parametrize("offline", [True, False], ids=["by wish", "the Hub does not answer"])
def test_without_the_network_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    from huggingface_hub import constants

    dead = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", dead)
    template = dead + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    reason = "HF_HUB_OFFLINE is set" if offline else f"{dead} cannot be reached"
    with pytest.raises(ModelError, match=reason) as caught:
        Backbone(BackboneConfig("vit_base_patch14_dinov2.lvd142m", 224, pretrained=True))
    said = str(caught.value)
    for word in ("vit_base_patch14_dinov2.lvd142m", "cannot be had", "HF_HOME", "pretrained to false"):
        assert word in said
    assert "faceperc-nano" not in said  # no model of the package has these weights
