"""As many servers as keep requests from waiting: by the time in Triton's queues, and by the CPUs that work."""

from __future__ import annotations

from types import SimpleNamespace

from tbgen.server.deploy.documents import YamlObject, yaml_from
from tbgen.server.deploy.fleet import Servers
from tbgen.server.deploy.kubernetes.objects import labels_of, made
from tbgen.server.deploy.launch import SCRAPE_INTERVAL
from tbgen.server.deploy.promql import JOB, any_of

ADAPTER = "prometheus-adapter.yaml"
_ADAPTER = "# No object: a part of the Prometheus adapter's own configuration (its chart's values: rules.custom).\n"
BUSY = 85  # per cent of the CPUs that were asked for
_WINDOW = "2m"  # over which waits are averaged
# More at once, fewer slowly: a server that starts takes minutes.
BEHAVIOR: YamlObject = {
    "scaleUp": {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}]},
    "scaleDown": {"stabilizationWindowSeconds": 300, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
}


def wait_query(fleet: Servers, matchers: str, by: str = "") -> str:
    """Milliseconds that a request waits on average, in PromQL: in all models' queues, for each that a front model
    answers. matchers: of labels, as within braces.
    """
    names = any_of(fleet.questions)
    waits = f"sum(rate(nv_inference_queue_duration_us{{{matchers}}}[{_WINDOW}])){by}"
    answers = f"sum(rate(nv_inference_request_success{{{matchers},model=~{names}}}[{_WINDOW}])){by}"
    return f"{waits} / 1000 / ({answers} > 0)"


def pods_of(v: SimpleNamespace, deployment: str) -> str:
    """Matchers of the labels of a Deployment's pods, but not of another's whose name only begins like its own."""
    return f'{v.namespace}pod=~"{deployment}-[a-z0-9]+(-[a-z0-9]+)?"'


def autoscalers(fleet: Servers, v: SimpleNamespace) -> dict[str, YamlObject]:
    """An object for each way to scale the servers, by its name among AUTOSCALERS."""
    return {"hpa": _horizontal(fleet, v), "keda": _scaled(fleet, v)}


def pod_monitor(v: SimpleNamespace) -> YamlObject:
    """What the Prometheus operator needs to read the servers' metrics, under the job that rules and graphs know."""
    own = {"relabelings": [{"targetLabel": "job", "replacement": JOB}]}
    ports = [
        {"port": "metrics", "interval": SCRAPE_INTERVAL, **own},
        {"port": "edge-metrics", "interval": SCRAPE_INTERVAL},
    ]
    spec = {"selector": {"matchLabels": labels_of(v)}, "podMetricsEndpoints": ports}
    return made("monitoring.coreos.com/v1", "PodMonitor", v, v.name, spec=spec)


def adapter_text(fleet: Servers) -> str:
    """The file of what the Prometheus adapter's configuration must say, so that the HPA finds its metric."""
    rule = {
        "seriesQuery": 'nv_inference_queue_duration_us{namespace!="",pod!=""}',
        "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
        "name": {"as": _metric(fleet)},
        "metricsQuery": wait_query(fleet, "<<.LabelMatchers>>", " by (<<.GroupBy>>)"),
    }
    return yaml_from([{"rules": [rule]}], head=_ADAPTER)


def _metric(fleet: Servers) -> str:
    """The wait as the Prometheus adapter names it: a fleet's own, for the query is of its models."""
    return f"{fleet.name.replace('-', '_')}_queue_milliseconds"


def _horizontal(fleet: Servers, v: SimpleNamespace) -> YamlObject:
    """Kubernetes' own autoscaler, which asks the Prometheus adapter for the wait."""
    wait = {"metric": {"name": _metric(fleet)}, "target": {"type": "AverageValue", "averageValue": v.queueMilliseconds}}
    busy = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": BUSY}}
    metrics: list[YamlObject] = [{"type": "Pods", "pods": wait}]
    metrics += [] if fleet.sizes.gpus else [{"type": "Resource", "resource": busy}]
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": v.name},
        "minReplicas": v.replicas,
        "maxReplicas": v.maxReplicas,
        "metrics": metrics,
        "behavior": BEHAVIOR,
    }
    return made("autoscaling/v2", "HorizontalPodAutoscaler", v, v.name, spec=spec)


def _scaled(fleet: Servers, v: SimpleNamespace) -> YamlObject:
    """KEDA's, which asks Prometheus itself."""
    metadata = {
        "serverAddress": v.prometheus,
        "query": wait_query(fleet, pods_of(v, v.name)),
        "threshold": v.queueMilliseconds,
        "ignoreNullValues": "true",
    }
    # a mean, which KEDA's default would share out among the servers
    triggers: list[YamlObject] = [{"type": "prometheus", "metricType": "Value", "metadata": metadata}]
    busy = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(BUSY)}}
    spec = {
        "scaleTargetRef": {"name": v.name},
        "minReplicaCount": v.replicas,
        "maxReplicaCount": v.maxReplicas,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": BEHAVIOR}},
        "triggers": triggers + ([] if fleet.sizes.gpus else [busy]),
    }
    return made("keda.sh/v1alpha1", "ScaledObject", v, v.name, spec=spec)
