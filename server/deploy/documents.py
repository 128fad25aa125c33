"""Documents of plain values as YAML that all readers take for the same, Kubernetes' held against its schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tbgen.export.errors import require

KUBERNETES = "1.33"  # whose schemas the documents are held against; later ones have all that is used
OPEN, CLOSE = "⟦", "⟧"  # around what Helm is to put in
YamlObject = dict[str, Any]
_PLAIN = re.compile(r"[A-Za-z/][\w./-]*")
_OWN_KINDS = ("keda.sh/", "monitoring.coreos.com/", "serving.kserve.io/", "kustomize.config.k8s.io/")
_BOOLEANS = ("y", "n")  # to YAML 1.1, which Go's readers follow and PyYAML does not


def yaml_from(documents: Iterable[Mapping[str, Any]], *, head: str = "") -> str:
    """The text of a file of documents, comments before them."""
    yaml = require("yaml", extra="deploy")

    class Dumper(yaml.SafeDumper):  # type: ignore[name-defined, misc]
        """Quotes every text that some reader takes for something else, and keeps lines as lines."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002
            return super().increase_indent(flow, False)

    def text(dumper: Any, value: str) -> Any:
        plain = _PLAIN.fullmatch(value) and value.lower() not in _BOOLEANS
        style = None if plain else "|" if "\n" in value else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    options = {"Dumper": Dumper, "sort_keys": False, "allow_unicode": True, "width": 1 << 20}
    return head + "---\n".join(yaml.dump(dict(each), **options) for each in documents)


def check_documents(documents: Iterable[YamlObject]) -> None:
    """Hold Kubernetes' own kinds against its schemas, which know all fields. Raises ValueError: a bug of ours."""
    schemas = require("kubernetes_validate", extra="deploy")
    for document in documents:
        if not document["apiVersion"].startswith(_OWN_KINDS):
            try:
                schemas.validate(document, KUBERNETES, strict=True)
            except schemas.ValidationError as error:
                place = "/".join(map(str, getattr(error, "path", ())))
                name = f"{document['kind']} {document['metadata']['name']}"
                raise ValueError(f"{name}: {place}: {str(error).splitlines()[0]}") from error
