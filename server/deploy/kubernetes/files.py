"""The folder of `tbgen deploy kubernetes`: plain objects with a kustomization, ready for `kubectl apply -k`."""

from __future__ import annotations

from collections.abc import Mapping

from tbgen.server.deploy.documents import YamlObject, check_documents, yaml_from
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.kubernetes.objects import server_files
from tbgen.server.deploy.kubernetes.scaling import adapter_rules, autoscalers, pod_monitor
from tbgen.server.deploy.kubernetes.values import plain_fleet


def kubernetes_files(fleet: Servers, autoscaler: str) -> dict[str, str]:
    """The text of each file, by name."""
    objects = kubernetes_objects(fleet, autoscaler)
    texts = with_kustomization(objects)
    if autoscaler == "hpa":
        texts["prometheus-adapter.yaml"] = yaml_from([adapter_rules(fleet)], head=_ADAPTER)
    return texts


_ADAPTER = "# No object: a part of the Prometheus adapter's own configuration (its chart's values: rules.custom).\n"


def with_kustomization(objects: Mapping[str, list[YamlObject]]) -> dict[str, str]:
    """The texts of files of objects, and of what lists them for `kubectl apply -k`."""
    listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [*objects]}
    return {name: yaml_from(documents) for name, documents in {**objects, "kustomization.yaml": [listed]}.items()}


def kubernetes_objects(fleet: Servers, autoscaler: str) -> dict[str, list[YamlObject]]:
    """The objects, held against Kubernetes' schemas, by file."""
    v = plain_fleet(fleet, autoscaler)
    objects = server_files(fleet, v)
    if autoscaler != "none":
        objects |= {"autoscaler.yaml": [autoscalers(fleet, v)[autoscaler]], "monitoring.yaml": [pod_monitor(v)]}
        del objects["deployment.yaml"][0]["spec"]["replicas"]  # the autoscaler's, which an apply must not take back
    check_documents(document for documents in objects.values() for document in documents)
    return objects
