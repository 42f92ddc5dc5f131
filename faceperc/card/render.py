"""A card's Markdown: the template filled with a folder's facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from faceperc.card import figures
from faceperc.card.facts import Facts
from faceperc.card.figures import Row
from faceperc.card.front_matter import front_matter
from faceperc.licences import RESEARCH, terms_of

_UNKNOWN = "not recorded"
#: Headings of the notes that have a place in the template; all others come last.
_PLACED = {
    *("What it does", "Intended use", "Out-of-scope use", "Licence", "How the labels were made", "Metrics"),
    *("Robustness", "Size and start", "Limits", "How it was made"),
}
_DOCUMENT = re.compile(r"`((?:docs|configs)/[\w/.-]+)`(?!\])")


def render(facts: Facts) -> str:
    """The model card: front matter and Markdown, as it stands in a model folder, far from the documents that
    it mentions."""
    text = body(facts)
    if _DOCUMENT.search(text):
        text += "\n`docs/` and `configs/` are folders of faceperc's source.\n"
    return front_matter(facts) + "\n" + text


def page(facts: Facts, others: Sequence[tuple[Facts, str]], command: str) -> str:
    """The card as a page of the source tree: it says how it was written, its mentions of documents are links,
    and instead of front matter it has the cards of other models at its end.

    Args:
        facts: of the model.
        others: of the other models, each with the place of its card.
        command: that writes the page.
    """
    text = _DOCUMENT.sub(r"[\1](\1)", body(facts))
    lines = [
        f"<!-- Written by `{command}`: edit notes.md in the model's folder, not this page. -->",
        "",
        text,
    ]
    if others:
        lines += ["## Other models", "", "| model | what it does | weights for | card |", "|---|---|---|---|"]
        lines += [
            f"| {each.name} {each.tag} | {each.row.description if each.row else '-'} | {each.use} use | "
            f"[card]({place}) |"
            for each, place in others
        ]
    return "\n".join(lines).rstrip() + "\n"


def body(facts: Facts) -> str:
    """The Markdown of a card, without the front matter."""
    source = (resources.files("faceperc.card") / "card.md.jinja").read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(source)
    face = facts.evaluations_of("face")
    text = template.render(
        facts=facts,
        figures=figures,
        notes=facts.notes,
        further={name: each for name, each in facts.notes.items() if name not in _PLACED},
        about=_about(facts),
        tasks=[(task.name, task.kind, task.description) for task in facts.metadata.tasks.values()],
        forced=list(
            dict.fromkeys(f"`{each['name']}`" for each in facts.sources if terms_of(each) == RESEARCH)
        ),
        sources=_sources(facts),
        face=face,
        detector=facts.evaluations_of("detector"),
        heads=facts.evaluations_of("heads"),
        groups=figures.group_rows(face[0]) if face else [],
        robust=figures.robustness_rows(face[0]) if face else [],
        quality=figures.quality_rows(face[0]) if face else [],
        gaps=figures.gap_rows(figures.gaps(face[0])) if face else [],
        measured=_measured,
        speed=_speed(facts),
        use_name=facts.name if facts.row else "path/to/this/folder",
        use_hint="" if facts.row else "  # or ORG/NAME, if you read this on the Hub",
        reproduction=_reproduction(facts),
        config=_config(facts.training.get("config", {})),
        hashes=_hashes(facts),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _about(facts: Facts) -> list[Row]:
    metadata, row = facts.metadata, facts.row
    backbone = facts.config.get("backbone", {})
    network = row.architecture if row else str(backbone.get("name", _UNKNOWN))
    rows: list[Row] = [("network", network)]
    if row:
        rows.append(("parameters", f"{row.parameters / 1e6:.2f} million"))
    if metadata.crop is not None:
        rows.append(("input", f"face crops of {metadata.crop.size} x {metadata.crop.size} pixels"))
    if metadata.detector is not None:
        rows.append(
            ("input", f"images, shrunk to at most {metadata.detector.max_side} pixels on the longer side")
        )
    rows.append(("files", ", ".join(f"{file.name} ({file.precision})" for file in facts.files)))
    rows.append(("weights", f"sha256 {metadata.weights_sha256}"))
    return rows


def _sources(facts: Facts) -> list[Row]:
    return [
        (
            f"`{each['name']}`",
            str(each.get("origin", _UNKNOWN)),
            str(each.get("licence", "not stated")),
            terms_of(each),
            str(each.get("samples", _UNKNOWN)),
        )
        for each in facts.sources
    ]


def _measured(evaluation: Mapping[str, Any]) -> str:
    """By what, when and on which file the figures were measured."""
    packages = [f"{name} {version}" for name, version in evaluation.get("packages", {}).items()]
    how = ", ".join([f"`{evaluation['command']}`", evaluation["date"], *packages])
    remark = f" {evaluation['remark']}" if "remark" in evaluation else ""
    return f"{how}; file sha256 `{evaluation['file']['sha256'][:12]}`.{remark}"


def _speed(facts: Facts) -> list[Row]:
    return [
        (
            file.name,
            file.precision,
            f"{file.bytes / 1e6:.1f}",
            "not measured" if file.latency is None else f"{file.latency:.3f}",
            f"`{file.sha256[:12]}`",
        )
        for file in facts.files
    ]


def _reproduction(facts: Facts) -> list[Row]:
    training = facts.training
    code = training.get("code", {})
    commit = f"{code['commit']}{', with changes' if code.get('dirty') else ''}" if code else _UNKNOWN
    packages = ", ".join(f"{name} {version}" for name, version in training.get("packages", {}).items())
    recipe = f"{_UNKNOWN}; the recipe is `{facts.row.recipe}`" if facts.row else _UNKNOWN
    return [
        ("command", f"`{training['command']}`" if training.get("command") else recipe),
        ("code", commit),
        ("packages", packages or _UNKNOWN),
        ("steps, epochs", f"{training['steps']}, {training['epochs']}" if "steps" in training else _UNKNOWN),
        ("hours", str(training.get("hours", _UNKNOWN))),
        ("started from", _chain(training.get("started_from", [])) or _no_start(training)),
        ("date", str(training.get("date", _UNKNOWN))),
    ]


def _no_start(training: Mapping[str, Any]) -> str:
    return "nothing: from scratch" if training.get("command") else _UNKNOWN


def _chain(starts: Sequence[Mapping[str, Any]]) -> str:
    """``start_from NAME (HASH), which ...``: the latest first."""
    parts = []
    for each in starts:
        before = _chain(each.get("started_from", []))
        sha = f" (sha256 {each['weights_sha256'][:12]})" if "weights_sha256" in each else ""
        parts.append(f"{each['how']} {each['name']}{sha}" + (f", that from: {before}" if before else ""))
    return "; ".join(parts)


def _config(config: Mapping[str, Any]) -> list[Row]:
    """The settings that people ask for first."""
    model, data, trainer = (config.get(key) or {} for key in ("model", "data", "trainer"))
    values = {
        "seed": config.get("seed_everything"),
        "optimiser": model.get("optimiser"),
        "batch size": data.get("batch_size"),
        "samples per epoch": data.get("epoch_size"),
        "augmentation": data.get("augment"),
        "precision": trainer.get("precision"),
        "epochs planned": trainer.get("max_epochs"),
    }
    return [(name, _setting(value)) for name, value in values.items() if value is not None]


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_setting(each)}" for key, each in value.items() if each is not None)
    return str(value)


def _hashes(facts: Facts) -> list[Row]:
    trained = [
        (f"{each['name']}, training", str(each["samples"]), f"`{each['sha256']}`")
        for each in facts.sources
        if "sha256" in each
    ]
    measured: dict[tuple[str, str, str], list[str]] = {}  # the tasks that were measured on the same faces
    for evaluation in facts.evaluations_of("face"):
        for result in evaluation["results"]:
            if result.get("data_sha256"):
                key = (
                    f"{result['source']}, {evaluation['split']}",
                    str(result["count"]),
                    result["data_sha256"],
                )
                measured.setdefault(key, []).append(result["task"])
    faces = [
        (f"{data}: {', '.join(dict.fromkeys(tasks))}", count, f"`{sha256}`")
        for (data, count, sha256), tasks in measured.items()
    ]
    return [*trained, *faces]
