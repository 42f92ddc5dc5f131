"""Pretraining without labels, and fine-tuning: what is hidden stays hidden, it learns, saves, resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from test_train import recipe
from tiny_pack import tiny_config, write_pack

from faceperc.config import FaceModelConfig
from faceperc.errors import ConfigError, ModelError
from faceperc.mae import AutoencoderConfig, MaskedAutoencoder
from faceperc.model import FaceModel, read_backbone
from faceperc.optimiser import OptimiserConfig, create_optimiser
from faceperc.pretrain import main as pretrain
from faceperc.train import main as train

ROOT = Path(__file__).parents[1]
SMALL = {"image_size": 64, "blocks": 2}
BACKBONES: dict[str, dict[str, Any]] = {
    "plain patches": {"name": "test_vit", **SMALL, "options": {"depth": 2}},
    "registers": {"name": "test_vit", **SMALL, "options": {"depth": 2, "reg_tokens": 2}},
    "convolutional stem": {
        "name": "vit_tiny_patch16_224",
        **SMALL,
        "conv_stem": True,
        "options": {"depth": 2, "embed_dim": 64, "num_heads": 2},
    },
}


def autoencoder(name: str = "plain patches", **changes: Any) -> MaskedAutoencoder:
    torch.manual_seed(0)
    network = FaceModelConfig.from_dict(tiny_config(backbone=BACKBONES[name]))
    return MaskedAutoencoder(network, AutoencoderConfig(**({"width": 32, "blocks": 1, "heads": 2} | changes)))


def crops(count: int = 4) -> torch.Tensor:
    """Brightness that rises in a random direction: every patch tells what the others look like."""
    angle = torch.rand(count, 1, 1) * 6.28
    ramp = torch.linspace(-1, 1, 64)
    grey = 128 + 80 * (angle.cos() * ramp + angle.sin() * ramp[:, None])
    return grey.to(torch.uint8)[..., None].repeat(1, 1, 1, 3)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("pack"))


def pretraining(folder: Path, pack: Path) -> Path:
    """The default recipe of the pretraining, made small."""
    config = yaml.safe_load((ROOT / "configs/pretrain/nano.yaml").read_text())
    run = folder / "pretrain"
    config["trainer"] |= {"accelerator": "cpu", "precision": "32-true", "max_epochs": 1}
    config["trainer"] |= {"default_root_dir": str(run), "enable_progress_bar": False}
    config["trainer"]["logger"]["init_args"]["save_dir"] = str(run)
    callbacks = config["trainer"]["callbacks"]
    callbacks[0]["init_args"]["dirpath"] = str(run / "checkpoints")
    config["trainer"]["callbacks"] = [c for c in callbacks if "ProgressBar" not in c["class_path"]]
    config["model"] |= {"network": tiny_config(), "autoencoder": {"width": 32, "blocks": 1, "heads": 2}}
    config["data"] |= {"sources": str(ROOT / "configs/data/pack.yaml"), "path": str(pack), "workers": 0}
    config["data"] |= {"batch_size": 16, "epoch_size": 48}
    path = folder / "pretrain.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("training", [True, False])
def test_hidden_pixels_never_reach_the_encoder(name: str, training: bool) -> None:
    model = autoencoder(name).train(training)
    visible = model.choose(4)
    before = crops()
    shown = torch.zeros(4, 16, dtype=torch.bool).scatter(1, visible, True).view(4, 4, 4)
    shown = shown.repeat_interleave(16, 1).repeat_interleave(16, 2)[..., None]
    after = torch.where(shown, before, 255 - before)
    elsewhere = torch.where(shown, 255 - before, before)
    with torch.no_grad():
        first, second, third = (
            model.encode(model.backbone.normalise(each), visible) for each in (before, after, elsewhere)
        )
    assert first.shape == (4, 4, 64)
    assert torch.equal(first, second)
    assert not torch.allclose(first, third)


@pytest.mark.parametrize("name", BACKBONES)
def test_encoder_sees_all_that_the_backbone_sees_where_nothing_is_hidden(name: str) -> None:
    model = autoencoder(name).eval()
    image = model.backbone.normalise(crops())
    everything = torch.arange(16).expand(4, -1)
    with torch.no_grad():
        expected = model.norm(model.backbone(image).depths[-1])
        torch.testing.assert_close(model.encode(image, everything), expected)


@pytest.mark.parametrize("name", BACKBONES)
def test_loss_falls_and_every_parameter_learns(name: str) -> None:
    model = autoencoder(name)
    faces = crops(16)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = model.loss(faces, model.choose(16)).mean()
        optimiser.zero_grad()
        loss.backward()
        assert [n for n, p in model.named_parameters() if p.grad is None] == []
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def test_pictures_keep_what_is_visible() -> None:
    model, faces = autoencoder().eval(), crops(2)
    visible = model.choose(2, torch.Generator().manual_seed(1))
    assert torch.equal(visible, model.choose(2, torch.Generator().manual_seed(1)))
    with torch.no_grad():
        given, masked, painted = model.pictures(faces, visible).chunk(3, dim=3)
    torch.testing.assert_close(given, faces.permute(0, 3, 1, 2) / 255)
    row, column = divmod(int(visible[0, 0]), 4)
    patch = (0, slice(None), slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16))
    assert torch.equal(given[patch], masked[patch]) and torch.equal(given[patch], painted[patch])
    assert not torch.allclose(given, masked) and not torch.allclose(masked, painted)


@pytest.mark.parametrize(
    ("backbone", "changes", "message"),
    [
        ({"name": "eva02_tiny_patch14_224", "image_size": 56}, {}, "VisionTransformer"),
        ({"name": "vit_tiny_r_s16_p8_224", "image_size": 64, "blocks": 2}, {}, "plain patches"),
        ({"name": "test_vit", **SMALL, "options": {"pos_embed": "none"}}, {}, "learned positions"),
        ({"name": "test_vit", **SMALL}, {"mask_ratio": 0.99}, r"mask_ratio: 0\.99 leaves 0 of 16"),
        ({"name": "test_vit", **SMALL}, {"mask_ratio": 0.0}, "mask_ratio"),
        ({"name": "test_vit", **SMALL}, {"width": 30, "heads": 4}, r"autoencoder\.width: 30"),
    ],
)
def test_what_cannot_be_pretrained_is_refused(
    backbone: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        network = FaceModelConfig.from_dict(tiny_config(backbone={"blocks": 2} | backbone))
        MaskedAutoencoder(network, AutoencoderConfig(**changes))


def test_pretrain_resume_and_train_from_it(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pretraining(tmp_path, pack)
    assert pretrain([str(path)]) == 0
    assert "w300/reconstruction/loss" in capsys.readouterr().out
    folder, last = tmp_path / "pretrain/backbone", tmp_path / "pretrain/checkpoints/last.ckpt"
    first = read_backbone(folder)
    assert json.loads((folder / "config.json").read_text())["backbone"]["name"] == "test_vit"
    assert torch.load(last, weights_only=True)["global_step"] == 3
    assert pretrain([str(path), "--ckpt_path", "last", "--trainer.max_epochs", "2"]) == 0
    assert torch.load(last, weights_only=True)["global_step"] == 6
    second = read_backbone(folder)
    assert any(not torch.equal(first[name], each) for name, each in second.items())
    assert pictures(tmp_path / "pretrain/log") == [0, 1]

    learned = json.loads((folder / "training.json").read_text())
    learned["data"].append({"name": "elsewhere", "origin": "?", "licence": "secret"})
    (folder / "training.json").write_text(json.dumps(learned))
    path = recipe(tmp_path, pack)
    start = ["--model.start_backbone_from", str(folder), "--model.optimiser.lr", "0.0"]
    assert train([str(path), *start]) == 0
    model = FaceModel.load(tmp_path / "run/model")
    assert all(torch.equal(second[name], each) for name, each in model.backbone.state_dict().items())
    training = json.loads((tmp_path / "run/model/training.json").read_text())
    assert {"elsewhere", "w300"} <= {source["name"] for source in training["data"]}
    # a whole model lends its backbone too, and nothing else
    start[1] = str(tmp_path / "run/model")
    options = ["--trainer.default_root_dir", str(tmp_path / "third"), "--seed_everything", "7"]
    assert train([str(path), *start, *options]) == 0
    third = FaceModel.load(tmp_path / "third/model").state_dict()
    equal = {name for name, each in model.state_dict().items() if torch.equal(each, third[name])}
    assert {name for name in third if name.startswith("backbone.")} <= equal
    assert "decoder.identity" in third and "decoder.identity" not in equal


def pictures(folder: Path) -> list[int]:
    """Epochs of the pictures in a TensorBoard log."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    steps: list[int] = []
    for file in folder.glob("events*"):
        events = EventAccumulator(str(file)).Reload()
        steps += [event.step for tag in events.Tags()["images"] for event in events.Images(tag)]
    return sorted(steps)


def test_weights_that_do_not_fit_are_named(tmp_path: Path, pack: Path) -> None:
    path = str(recipe(tmp_path, pack))
    other = autoencoder("registers").save(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"(?s)start_backbone_from.*other.*reg_token"):
        train([path, "--model.start_backbone_from", str(other)])
    with pytest.raises(ModelError, match="nowhere"):
        train([path, "--model.start_backbone_from", str(tmp_path / "nowhere")])


def rates(model: FaceModel, config: OptimiserConfig) -> dict[str, tuple[float, float]]:
    """Parameter -> peak learning rate, weight decay."""
    optimiser = create_optimiser(model, config, 100)["optimizer"]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["initial_lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for parameter in group["params"]
    }


def test_layer_decay_slows_the_early_layers_and_nothing_else() -> None:
    model = FaceModel(FaceModelConfig.from_dict(tiny_config(backbone=BACKBONES["convolutional stem"])))
    plain = rates(model, OptimiserConfig(lr=1e-3))
    falling = rates(model, OptimiserConfig(lr=1e-3, layer_decay=0.5))
    assert plain.keys() == falling.keys() == {name for name, _ in model.named_parameters()}
    assert {rate for rate, _ in plain.values()} == {1e-3}
    assert {name: decay for name, (_, decay) in falling.items()} == {n: d for n, (_, d) in plain.items()}
    for name, (rate, _) in falling.items():
        _, _, rest = name.partition("backbone.vit.")
        block = rest.split(".")[1] if rest.startswith("blocks.") else None
        depth = 3 if not rest else 0 if block is None else 1 + int(block)
        assert rate == pytest.approx(1e-3 * 0.5 ** (3 - depth)), name


def test_finetuning_averages_the_weights_and_resumes(tmp_path: Path, pack: Path) -> None:
    network = FaceModelConfig.from_dict(tiny_config())
    folder = MaskedAutoencoder(network, AutoencoderConfig()).save(tmp_path / "backbone")
    configs = [str(recipe(tmp_path, pack)), str(ROOT / "configs/train/finetune.yaml")]
    start = ["--model.start_backbone_from", str(folder)]
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert train([*configs, *start]) == 0
    for steps, again in ((3, None), (6, ["--ckpt_path", "last", "--trainer.max_epochs", "2"])):
        if again:
            assert train([*configs, *start, *again]) == 0
        checkpoint = torch.load(last, weights_only=True)
        assert checkpoint["global_step"] == steps == checkpoint["averaging_state"]["n_averaged"]
        groups = checkpoint["optimizer_states"][0]["param_groups"]
        assert max(group["initial_lr"] for group in groups) == pytest.approx(6e-4)  # of nano.yaml
        assert min(group["lr_scale"] for group in groups) == pytest.approx(0.85**7)
        saved = dict(weights(FaceModel.load(tmp_path / "run/model").state_dict(), ""))
        averaged, current = (
            dict(weights(checkpoint[key], "model.")) for key in ("state_dict", "current_model_state")
        )
        assert all(torch.equal(saved[name], averaged[name]) for name in saved)
        assert any(not torch.equal(averaged[name], current[name]) for name in saved)


def weights(state: dict[str, torch.Tensor], prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    return ((name.removeprefix(prefix), each) for name, each in state.items() if name.startswith(prefix))
