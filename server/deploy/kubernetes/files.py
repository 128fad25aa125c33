"""The folder of `tbgen deploy kubernetes`: plain objects with a kustomization, ready for `kubectl apply -k`."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tbgen.server.deploy.documents import YamlObject, check_documents, yaml_from
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.kubernetes.brought import brought_by_name, brought_files
from tbgen.server.deploy.kubernetes.objects import labels_of, server_files
from tbgen.server.deploy.kubernetes.scaling import ADAPTER, adapter_text, autoscalers, pod_monitor
from tbgen.server.deploy.kubernetes.values import plain_fleet


def kubernetes_files(fleet: Servers, autoscaler: str) -> dict[str, str]:
    """The text of each file, by name."""
    objects = kubernetes_objects(fleet, autoscaler)
    texts = with_kustomization(objects, fleet, plain_fleet(fleet, autoscaler))
    if autoscaler == "hpa":
        texts[ADAPTER] = adapter_text(fleet)
    return texts


def with_kustomization(
    objects: Mapping[str, list[YamlObject]], fleet: Servers, v: SimpleNamespace, **more: Any
) -> dict[str, str]:
    """The texts of files of objects, of those that pods are given, and of what lists them for `kubectl apply -k`.

    more: of the kustomization.
    """
    parts = {part: [f"{part}/{name}" for name in texts] for part, texts in brought_files(fleet).items()}
    listed = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*objects],
        "configMapGenerator": [{"name": v.configs[part], "files": files} for part, files in parts.items()],
        "generatorOptions": {"immutable": True, "labels": labels_of(v)},
        **more,
    }
    texts = {name: yaml_from(documents) for name, documents in {**objects, "kustomization.yaml": [listed]}.items()}
    return {**texts, **brought_by_name(fleet)}


def kubernetes_objects(fleet: Servers, autoscaler: str) -> dict[str, list[YamlObject]]:
    """The objects, held against Kubernetes' schemas, by file."""
    v = plain_fleet(fleet, autoscaler)
    objects = server_files(fleet, v)
    if autoscaler != "none":
        objects |= {"autoscaler.yaml": [autoscalers(fleet, v)[autoscaler]], "monitoring.yaml": [pod_monitor(v)]}
        del objects["deployment.yaml"][0]["spec"]["replicas"]  # the autoscaler's, which an apply must not take back
    check_documents(document for documents in objects.values() for document in documents)
    return objects
