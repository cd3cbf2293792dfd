"""The Kubernetes objects of a plan, as files."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from plan import PlanError
from plan.manifests import INDEX, manifests, write_manifests
from tests.plan.conftest import Planned

CLUSTER = """
cluster = pulumi.ResourceOptions(provider=kubernetes.Provider("us-west", kubeconfig="{}"))
def after(*objects):
    return pulumi.ResourceOptions.merge(cluster, pulumi.ResourceOptions(depends_on=list(objects)))
"""
NAMESPACE = f"""{CLUSTER}
hal9 = kubernetes.core.v1.Namespace("n", metadata={{"name": "hal9"}}, opts=cluster)
"""


def test_each_object_is_a_file_in_its_clusters_folder(planned: Planned) -> None:
    found = manifests(planned(NAMESPACE))
    assert {path: yaml.safe_load(text) for path, text in found.items()} == {
        "us-west/00-namespace-hal9.yaml": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hal9"}}
    }


def test_version_and_kind_come_first(planned: Planned) -> None:
    (text,) = manifests(planned(NAMESPACE)).values()
    assert text.splitlines()[:2] == ["apiVersion: v1", "kind: Namespace"]


def test_what_others_need_comes_before_them(planned: Planned) -> None:
    plan = planned(f"""{NAMESPACE}
one = kubernetes.core.v1.ConfigMap("one", metadata={{"name": "one", "namespace": hal9.metadata.name}}, opts=cluster)
two = kubernetes.core.v1.ConfigMap("two", metadata={{"name": "two"}}, opts=after(one))
crd = kubernetes.apiextensions.v1.CustomResourceDefinition("crd", metadata={{"name": "as.hal9.ai"}}, spec={{
    "group": "hal9.ai", "scope": "Namespaced", "names": {{"kind": "A", "plural": "as"}}, "versions": []}}, opts=cluster)
kubernetes.apiextensions.CustomResource("a", api_version="hal9.ai/v1", kind="A", metadata={{"name": "a"}}, opts=cluster)
""")
    assert list(manifests(plan)) == [
        "us-west/00-customresourcedefinition-as.hal9.ai.yaml",
        "us-west/00-namespace-hal9.yaml",
        "us-west/01-a-a.yaml",
        "us-west/01-configmap-hal9-one.yaml",
        "us-west/02-configmap-two.yaml",
    ]


def test_a_helm_release_is_told_apart_with_its_values(planned: Planned) -> None:
    plan = planned(f"""{CLUSTER}
kubernetes.helm.v3.Release("istiod", chart="istiod", version="1.27.1", namespace="istio-system",
    repository_opts={{"repo": "https://charts.example"}}, values={{"pilot": {{"replicas": 2}}}}, opts=cluster)
""")
    (path,) = found = manifests(plan)
    assert path == "us-west/helm/istiod.yaml"
    release = yaml.safe_load(found[path])
    assert list(release)[-1] == "values"
    assert release["values"] == {"pilot": {"replicas": 2}}
    assert release["repositoryOpts"] == {"repo": "https://charts.example"}


def test_an_object_without_a_name_gets_one_from_its_logical_name(planned: Planned) -> None:
    (text,) = manifests(
        planned(f"{CLUSTER}\nkubernetes.core.v1.ConfigMap('c', data={{'a': 'b'}}, opts=cluster)")
    ).values()
    assert yaml.safe_load(text)["metadata"] == {"generateName": "c-"}


def test_a_secrets_data_stays_base64(planned: Planned) -> None:
    body = (
        f"{CLUSTER}\nkubernetes.core.v1.Secret('s', metadata={{'name': 's'}}, data={{'a': 'c2VjcmV0'}}, opts=cluster)"
    )
    (text,) = manifests(planned(body)).values()
    assert base64.b64decode(yaml.safe_load(text)["data"]["a"]) == b"[secret]"


def test_long_texts_are_blocks(planned: Planned) -> None:
    body = f"{CLUSTER}\nkubernetes.core.v1.ConfigMap('c', data={{'nginx.conf': 'a;\\nb;\\n'}}, opts=cluster)"
    (text,) = manifests(planned(body)).values()
    assert "nginx.conf: |\n    a;\n    b;\n" in text


def test_what_an_earlier_run_wrote_and_this_one_does_not_is_taken_away(planned: Planned, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_manifests(planned(NAMESPACE), out)
    (out / "mine.txt").write_text("mine")
    body = f"{CLUSTER}\nkubernetes.core.v1.Namespace('n', metadata={{'name': 'other'}}, opts=cluster)"
    write_manifests(planned(body), out)
    left = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert left == [INDEX, "mine.txt", "us-west/00-namespace-other.yaml"]


def test_a_strange_file_in_the_way_is_not_replaced(planned: Planned, tmp_path: Path) -> None:
    strange = tmp_path / "out" / "us-west" / "00-namespace-hal9.yaml"
    strange.parent.mkdir(parents=True)
    strange.write_text("mine")
    with pytest.raises(PlanError, match="was not written by this command"):
        write_manifests(planned(NAMESPACE), tmp_path / "out")
    assert strange.read_text() == "mine"


def test_the_same_plan_is_written_twice_with_the_same_bytes(planned: Planned, tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        write_manifests(planned(NAMESPACE), tmp_path / "out")
        return {str(path): path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}

    assert content() == content()
