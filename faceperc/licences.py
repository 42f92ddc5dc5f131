"""What a model's training data allow its weights to be used for.

Every source of a model, its teachers too, says in `terms` what its owners allow: see ``terms_of``. The
weights may be used for what ALL sources allow. This is bookkeeping, no legal advice: it repeats what the
owners state, and takes for research only whatever they do not state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from faceperc.errors import ConfigError

Use = Literal["any", "research"]

#: Its owners allow research or non-commercial use only, or state nothing.
RESEARCH = "research"
#: Rendered or generated from what allows any use.
SYNTHETIC = "synthetic"
#: The maker's own, with the consent of whom it shows.
OWN = "own"

#: SPDX identifiers of licences that allow any use, if only the authors are named.
PERMISSIVE = (
    *("Apache-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unlicense"),
    *("CC0-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "PDDL-1.0", "ODC-By-1.0"),
    "CDLA-Permissive-2.0",
)

_PERMISSIVE = re.compile(r"permissive \((.+)\)")


def permissive(spdx: str) -> str:
    """The `terms` of a source under a licence that allows any use, e.g. ``permissive (CC-BY-4.0)``.

    Raises:
        ConfigError: if ``spdx`` is none of ``PERMISSIVE``.
    """
    known = spdx_of(spdx)
    if known is None:
        raise ConfigError(f"{spdx!r} is no licence that allows any use: one of {', '.join(PERMISSIVE)}")
    return f"permissive ({known})"


def spdx_of(text: str) -> str | None:
    """The identifier of a licence of ``PERMISSIVE`` if the text is its name and nothing else."""
    wanted = {"cc0": "cc0-1.0"}.get(text.strip().lower(), text.strip().replace(" ", "-").lower())
    return next((each for each in PERMISSIVE if each.lower() == wanted), None)


def checked_terms(terms: str) -> str:
    """Terms that a person wrote: ``research``, ``synthetic``, ``own``, ``permissive (SPDX)``, or the SPDX
    identifier alone.

    Raises:
        ConfigError: if they are something else.
    """
    if terms in (RESEARCH, SYNTHETIC, OWN):
        return terms
    named = _PERMISSIVE.fullmatch(terms)
    return permissive(named[1] if named else terms)


def terms_of(source: Mapping[str, Any]) -> str:
    """What the owners of a source allow: ``research``, ``permissive (SPDX)``, ``synthetic`` or ``own``.

    Args:
        source: an entry of a model's training data. Where it has no `terms` (older files), its `licence`
            counts if it is the name of a permissive licence and nothing else. Any other text is research.
    """
    try:
        return checked_terms(str(source.get("terms") or source.get("licence") or ""))
    except ConfigError:
        return RESEARCH


def use_of(sources: Iterable[Mapping[str, Any]]) -> Use:
    """What weights may be used for that learned from these sources: ``any``, or ``research`` where one of
    them allows no more. Without any source it is not known what they learned from: ``research``."""
    terms = [terms_of(source) for source in sources]
    return "any" if terms and RESEARCH not in terms else "research"


def sentence(sources: Iterable[Mapping[str, Any]]) -> str:
    """The weights' licence in words: which sources force it, or which ask to be named."""
    sources = list(sources)
    if not sources:
        return "research and non-commercial use: it is not recorded what the weights learned from"
    if use_of(sources) == "research":
        names = ", ".join(dict.fromkeys(str(each["name"]) for each in sources if terms_of(each) == RESEARCH))
        return (
            "research and non-commercial use: the weights learned from sources whose owners allow no more, "
            f"or state nothing: {names}"
        )
    named = [
        f"{each['name']} ({found[1]})" for each in sources if (found := _PERMISSIVE.fullmatch(terms_of(each)))
    ]
    thanks = f"; name these sources as their licences ask: {', '.join(dict.fromkeys(named))}" if named else ""
    return f"any use: no source that the weights learned from forbids one{thanks}"


def weights_licence(sources: Iterable[Mapping[str, Any]], stated: str | None = None) -> dict[str, str]:
    """`use` and `licence` of weights, for their record.

    Args:
        sources: what they learned from.
        stated: a licence that their maker wants. It can only be stricter than what the sources allow: what is
            not the name of a permissive licence makes the use ``research``.

    Raises:
        ConfigError: if ``stated`` allows any use, and the sources do not.
    """
    sources = list(sources)
    use, words = use_of(sources), sentence(sources)
    if not stated:
        return {"use": use, "licence": words}
    spdx = spdx_of(stated)
    if use == "any":
        return {"use": "any" if spdx else "research", "licence": spdx or stated}
    if spdx:
        raise ConfigError(
            f"the weights cannot be under {spdx}: {words}. Leave the licence out, or train without these "
            "sources"
        )
    return {"use": use, "licence": f"{words}. Besides: {stated}"}


def use_of_weights(training: Mapping[str, Any]) -> Use:
    """What weights may be used for by their record: no more than their sources allow, or it says itself."""
    if use_of(training.get("data", [])) == "research":
        return "research"
    said = training.get("use") or ("any" if spdx_of(str(training.get("licence", ""))) else "research")
    return "any" if said == "any" else "research"


def for_metadata(training: Mapping[str, Any]) -> dict[str, Any]:
    """Of a training's record what goes into the ONNX file: sources, licence and use; {} without a record."""
    if not training:
        return {}
    data, use = training.get("data", []), use_of_weights(training)
    licence = str(training.get("licence") or "")
    if not licence or (use == "research" and (training.get("use") == "any" or spdx_of(licence))):
        licence = sentence(data)  # a record may claim more than its sources allow
    return {"data": data, "licence": licence, "use": use}
