"""Model cards: what they are made of, what they claim, and that the committed ones are up to date."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from tiny_onnx import build_face_model

from faceperc.card.cli import main as card
from faceperc.card.figures import gaps, group_rows, metric_rows
from faceperc.data.adapters import ADAPTERS, FairFace
from faceperc.data.fingerprint import fingerprint
from faceperc.data.source import Sample, load_sources
from faceperc.data.table import CsvSource
from faceperc.errors import ConfigError, ModelError
from faceperc.licences import for_metadata, permissive, terms_of, use_of, use_of_weights, weights_licence
from faceperc.provenance import command_line, publishable
from faceperc.record import Start, sources_of
from faceperc.registry import registry

ROOT = Path(__file__).parents[1]
MODELS = sorted(path.parent.name for path in (ROOT / "faceperc/models").glob("*/notes.md"))
OWN = {"name": "own", "terms": "own"}
ATTRIBUTED = {"name": "fairface", "licence": "CC BY 4.0", "terms": "permissive (CC-BY-4.0)"}
CLOSED = {"name": "w300", "licence": "research use only", "terms": "research"}


@pytest.mark.parametrize("name", MODELS)
def test_committed_cards_are_what_their_folders_say(name: str, tmp_path: Path) -> None:
    folder = ROOT / "faceperc/models" / name
    assert card([str(folder), "-o", str(tmp_path / "README.md")]) == 0
    assert (folder / "README.md").read_text() == (tmp_path / "README.md").read_text(), (
        f"run: faceperc card {folder}"
    )


def test_the_model_card_page_is_what_its_first_line_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = (ROOT / "MODEL_CARD.md").read_text()
    program, command, *words = shlex.split(committed.split("`")[1])
    assert (program, command, words[-2:]) == ("faceperc", "card", ["-o", "MODEL_CARD.md"])
    (tmp_path / "faceperc").symlink_to(ROOT / "faceperc")
    monkeypatch.chdir(tmp_path)
    assert card(words) == 0
    assert (tmp_path / "MODEL_CARD.md").read_text() == committed
    for name in set(MODELS) - {"faceperc-nano"}:
        assert f"(faceperc/models/{name}/README.md)" in committed


def test_what_is_not_recorded_is_said_to_be(tmp_path: Path) -> None:
    build_face_model(tmp_path / "model.onnx")
    assert card([str(tmp_path)]) == 0
    text = (tmp_path / "README.md").read_text()
    assert (
        "Not measured" in text and "| command | not recorded |" in text and "| code | not recorded |" in text
    )
    assert "license: apache-2.0" in text  # its one source is CC0, and its metadata say Apache-2.0
    assert "| model.onnx | fp32 | 0.0 | not measured |" in text
    with pytest.raises(ModelError, match=r"holds no model\.onnx"):
        card([str(tmp_path / "nowhere")])


def test_figures_of_other_weights_are_refused(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "faceperc/models/faceperc-nano", tmp_path / "m", ignore=lambda *_: ["model.safetensors"]
    )
    path = tmp_path / "m/evaluation.json"
    path.write_text(path.read_text().replace('"precision": "int8"', '"precision": "int4"'))
    with pytest.raises(ModelError, match="figures of another model"):
        card([str(tmp_path / "m")])


def evaluation() -> dict[str, Any]:
    groups = {
        "age: 0-9": {"faces": 12.0, "accuracy %": 70.0},
        "age: 10-19": {"faces": 40.0, "accuracy %": 95.5, "macro F1 %": 60.0},
        "age: 20+": {"faces": 300.0, "accuracy %": 90.0, "macro F1 %": 90.0},
        "dark: yes": {"faces": 50.0, "accuracy %": 60.0},  # the only one of its kind: no gap
    }
    limits = {name: {"accuracy %": [50.0, 99.0]} for name in groups}
    metrics = {"accuracy %": 80.0, "macro F1 %": 79.0}
    result = {
        "source": "s",
        "task": "gender",
        "metrics": metrics,
        "groups": groups,
        "group_intervals": limits,
    }
    return {"results": [result]}


def test_gaps_are_the_largest_minus_the_smallest_main_metric_of_a_kind() -> None:
    (gap,) = gaps(evaluation())
    assert (gap.kind, gap.low, gap.high, gap.faces) == ("age", "0-9", "10-19", (12, 40))
    assert gap.size == pytest.approx(25.5)


def test_small_groups_are_marked() -> None:
    assert [row[3] for row in group_rows(evaluation())] == ["12*", "40", "300", "50"]
    assert group_rows(evaluation())[0][4] == "accuracy % 70.00 (50.00-99.00)"


def test_a_set_of_which_nothing_is_known_has_a_row() -> None:
    result = {"source": "x", "task": "parsing", "count": 3, "metrics": {"mean F1 %": None}, "intervals": {}}
    assert metric_rows({"results": [result]}) == [("x", "parsing", "3", "-", "")]


@pytest.mark.parametrize(
    ("source", "terms"),
    [
        ({"terms": "own"}, "own"),
        ({"terms": "synthetic", "licence": "anything"}, "synthetic"),
        ({"terms": "MIT"}, "permissive (MIT)"),
        ({"terms": "permissive (CC-BY-NC-4.0)"}, "research"),
        ({"terms": "permissive(MIT)"}, "research"),
        ({"licence": "CC BY 4.0"}, "permissive (CC-BY-4.0)"),
        ({"licence": "apache-2.0"}, "permissive (Apache-2.0)"),
        ({"licence": "MIT for the annotation; no terms stated for the frames"}, "research"),
        ({"licence": "CC BY-NC-ND 4.0"}, "research"),
        ({}, "research"),
    ],
)
def test_terms__what_is_unknown_counts_as_research(source: dict[str, str], terms: str) -> None:
    assert terms_of(source) == terms


def test_use__one_source_is_enough_to_forbid() -> None:
    assert use_of([OWN, ATTRIBUTED]) == "any"
    assert use_of([OWN, ATTRIBUTED, CLOSED]) == "research" == use_of([])


def test_the_licence_names_the_sources_that_force_it() -> None:
    forced = weights_licence([OWN, CLOSED])
    assert forced["use"] == "research" and forced["licence"].endswith(": w300")
    free = weights_licence([OWN, ATTRIBUTED])
    assert free["use"] == "any" and "fairface (CC-BY-4.0)" in free["licence"]


def test_a_stated_licence_can_only_be_stricter() -> None:
    with pytest.raises(ConfigError, match=r"cannot be under Apache-2\.0: research"):
        weights_licence([OWN, CLOSED], "Apache-2.0")
    assert weights_licence([OWN], "Apache-2.0") == {"use": "any", "licence": "Apache-2.0"}
    assert weights_licence([OWN], "ask us first") == {"use": "research", "licence": "ask us first"}
    both = weights_licence([CLOSED], "ask us first")
    assert both["use"] == "research" and "w300" in both["licence"] and "ask us first" in both["licence"]


def test_a_record_cannot_claim_more_than_its_sources_allow() -> None:
    for words in ("MIT", "any use: nobody forbids it"):
        lying = {"data": [CLOSED], "use": "any", "licence": words}
        assert use_of_weights(lying) == "research"
        assert for_metadata(lying)["licence"].endswith(": w300") and for_metadata(lying)["use"] == "research"
    assert use_of_weights({"data": [OWN], "licence": "see LICENSE"}) == "research"
    assert use_of_weights({"data": [OWN], "licence": "MIT"}) == "any"


def test_every_source_states_its_terms() -> None:
    for source in load_sources():
        (facts,) = source.facts()
        assert facts["terms"] == "research", facts  # all of the pack's: see MODEL_CARD.md
    assert FairFace(root=".").facts()[0]["terms"] == permissive("CC-BY-4.0")
    others = {name for name, adapter in ADAPTERS.items() if adapter.terms != "research"}
    assert others == {"fairface"}


def test_old_records_still_work() -> None:
    old = json.loads((ROOT / "faceperc/models/faceperc-nano/training.json").read_text())
    assert use_of_weights(old) == "research"
    assert (
        terms_of(next(each for each in old["data"] if each["name"] == "mediapipe-mesh"))
        == "permissive (Apache-2.0)"
    )


def test_fingerprint__photographs_whatever_their_order_and_labels() -> None:
    def sample(grey: int, digest: str = "", **labels: int) -> Sample:
        return Sample(np.full((2, 2, 3), grey, np.uint8), np.zeros(4), dict(labels), digest=digest)

    first = fingerprint([sample(1), sample(2, "d", age=3)])
    assert first == fingerprint([sample(9, "d"), sample(1, age=4)])
    assert first != fingerprint([sample(1), sample(3, "e")]) != fingerprint([sample(1)])


def test_nothing_of_the_users_machine_is_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        str(tmp_path / "runs/a b.onnx"),
        "--data=/home/jane/my faces",
        "--api-key",
        "s3cret",
        "--seed",
        "1",
    ]
    assert command_line("eval", words) == (
        "faceperc eval 'runs/a b.onnx' '--data=.../my faces' --api-key '***' --seed 1"
    )
    config = {
        "root": "/home/jane/own.csv",
        "logger": {"api_token": "s3cret", "uri": "https://jane:s3cret@host/a/b"},
        "sources": ["{root: /mnt/jane/x.csv, images: photos/a}"],
        "lr": 0.1,
        "options": {"class_token": True},
    }
    for here in (tmp_path, Path("/")):  # of which every path is a part
        monkeypatch.chdir(here)
        assert publishable(config) == {
            "root": ".../own.csv",
            "logger": {"api_token": "***", "uri": "https://host/a/b"},
            "sources": ["{root: .../x.csv, images: photos/a}"],
            "lr": 0.1,
            "options": {"class_token": True},
        }


def start(folder: Path, **record: Any) -> Start:
    folder.mkdir()
    if record:
        (folder / "training.json").write_text(json.dumps(record))
    return Start("start_from", str(folder), str(folder))


def test_a_source_of_the_same_name_lifts_nobodys_terms(tmp_path: Path) -> None:
    before = start(tmp_path / "m", data=[{**CLOSED, "origin": "the web"}], use="research")
    own = CsvSource("w300.csv", terms="own")
    data = sources_of([before], [own], {})
    assert [terms_of(each) for each in data] == ["research", "own"] and use_of(data) == "research"
    assert [terms_of(each) for each in sources_of([before, before], [], {})] == ["research"]  # the same


def test_weights_without_a_record_or_with_stricter_words_keep_theirs(tmp_path: Path) -> None:
    own = CsvSource("mine.csv", terms="own")
    assert use_of(sources_of([], [own], {})) == "any"
    unknown, strict = (
        start(tmp_path / "a"),
        start(tmp_path / "b", data=[OWN], use="research", licence="ask us"),
    )
    for each, licence in ((unknown, "not stated"), (strict, "ask us")):
        data = sources_of([each], [own], {})
        assert use_of(data) == "research"
        assert licence in {entry.get("licence") for entry in data if terms_of(entry) == "research"}
    free = start(tmp_path / "c", data=[OWN], **weights_licence([OWN]))
    assert use_of(sources_of([free], [own], {})) == "any"


def test_the_hub_learns_what_a_model_was_made_from(tmp_path: Path) -> None:
    build_face_model(tmp_path / "model.onnx")
    nano = next(row for row in registry() if row.name == "faceperc-nano")
    begun = [
        {"how": "start_from", "name": "runs/a", "started_from": [
            {"how": "start_from", "name": "x", "weights_sha256": nano.files["model.safetensors"].sha256}]},
        {"how": "teacher", "name": "org/teacher", "repo": "org/teacher"},
        {"how": "start_backbone_from", "name": "org/mae@v1", "repo": "org/mae"},
    ]  # fmt: skip
    (tmp_path / "training.json").write_text(json.dumps({"data": [OWN], "started_from": begun}))
    assert card([str(tmp_path)]) == 0
    data = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert data["base_model"] == [nano.repo, "org/mae"]
