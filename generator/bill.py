"""A bill of materials of a model repository, as CycloneDX says it: its files by hash, the packages that it brings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tbgen.export.errors import require
from tbgen.export.files import ENGINE_SUFFIXES, sha256
from tbgen.export.reading import json_from_file, library_reading, text_from_file
from tbgen.generator.repository import MODEL_RECORD, VENDOR, NoModels, model_folders, read_record
from tbgen.generator.version import version

_WEIGHTS = (*ENGINE_SUFFIXES, ".safetensors")
_LICENCE = "Apache-2.0"  # of tokenizers, the one package that tbgen puts into a model; vendor/LICENSE has its text


def bill_of_repository(repository: Path) -> str:
    """The models with each of their files, the packages in them, the checkpoints that they were made of.

    JSON of CycloneDX 1.6, the same for the same files. Raises NoModels, MissingExtra.
    """
    require("cyclonedx", extra="sbom")
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    folders = model_folders(repository)
    if not folders:
        raise NoModels(repository)
    bom = Bom(components=[_model(folder) for folder in folders])
    bom.metadata.component = Component(
        name=repository.resolve().name, bom_ref=":repository", type=ComponentType.APPLICATION
    )
    bom.metadata.tools.components.add(
        Component(name="tbgen", version=version(), bom_ref=":tbgen", type=ComponentType.APPLICATION)
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    said: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del said["serialNumber"], said["metadata"]["timestamp"]
    return json.dumps(said, ensure_ascii=False, indent=2) + "\n"


def _model(folder: Path) -> Any:
    """A model: its files, the packages that it brings, and the checkpoint that its record names."""
    from cyclonedx.model.component import Component, ComponentType

    files = {file.relative_to(folder): file for file in sorted(folder.rglob("*")) if file.is_file()}
    own = {name: file for name, file in files.items() if not (name.parts[1:2] == (VENDOR,) and len(name.parts) > 3)}
    parts = [_file(folder.name, str(name), sha256(file)) for name, file in own.items()]
    parts += [package for place in _vendors(folder) for package in _packages(folder, place)]
    source = (read_record(folder) or {}).get("source")
    if isinstance(source, dict):
        origin = f"{folder.name}/source"
        known = [_file(origin, str(name), str(digest)) for name, digest in source.items()]
        parts.append(
            Component(name="checkpoint", bom_ref=origin, type=ComponentType.MACHINE_LEARNING_MODEL, components=known)
        )
    written = (read_record(folder) or {}).get("tbgen", "")
    description = f"written by tbgen {written}" if written else f"has no {MODEL_RECORD}"
    return Component(
        name=folder.name,
        bom_ref=folder.name,
        type=ComponentType.APPLICATION,
        description=description,
        components=parts,
    )


def _vendors(folder: Path) -> list[Path]:
    """The folders in which a model brings packages along."""
    return sorted(place for place in folder.glob(f"*/{VENDOR}") if place.is_dir())


def _file(owner: str, name: str, digest: str) -> Any:
    """A file by its SHA-256; weights are a model of their own kind."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    kind = ComponentType.MACHINE_LEARNING_MODEL if name.endswith(_WEIGHTS) else ComponentType.FILE
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
    return Component(name=name, bom_ref=f"{owner}/{name}", type=kind, hashes=hashes)


def _packages(model: Path, vendor: Path) -> Iterator[Any]:
    """The packages of a folder `vendor`, and what is linked into them, where they say it themselves."""
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from packageurl import PackageURL

    notice = vendor / "NOTICE"
    name, _, number = (text_from_file(notice) if notice.is_file() else "").partition("\n")[0].partition(" ")
    for folder in sorted(entry for entry in vendor.iterdir() if entry.is_dir()):
        known = folder.name == name
        place = str(folder.relative_to(model.parent))
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        parts = [_file(place, str(file.relative_to(folder)), sha256(file)) for file in files]
        yield Component(
            name=folder.name,
            version=number if known else None,
            bom_ref=place,
            type=ComponentType.LIBRARY,
            purl=PackageURL("pypi", name=folder.name, version=number if known else None),
            licenses=[DisjunctiveLicense(id=_LICENCE)] if known else (),
            components=[*parts, *_linked(vendor / f"{folder.name}.cyclonedx.json", place)],
        )


def _linked(listed: Path, owner: str) -> list[Any]:
    """What a package's own bill says is linked into it; nothing where it has none."""
    from cyclonedx.model.bom import Bom

    if not listed.is_file():
        return []
    with library_reading(f"{str(listed)!r} is no bill of CycloneDX"):
        said = json_from_file(listed)["components"]
        said = [{key: value for key, value in each.items() if key != "author"} for each in said]  # 1.6 has none
        components = sorted(Bom.from_json({"components": said}).components)
    for number, component in enumerate(components):
        component.bom_ref.value = f"{owner}/{number}"
    return components
