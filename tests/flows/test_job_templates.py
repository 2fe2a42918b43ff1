"""The job templates of Docker and Kubernetes work pools, as far as they can be checked without an engine."""

import asyncio
import copy
import json
import re
from pathlib import Path
from uuid import uuid4

import kubernetes_validate
import pytest
from kubernetes_validate import ValidationError
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect_docker.worker import DockerWorkerJobConfiguration
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from configs.schedule import HeartbeatConfig
from flows.deployments import worker_environment

DOCKER = Path(__file__).parents[2] / "docker"
KUBERNETES_VERSION = "1.31"


def render(configuration, template, **values):
    """Return the job that a worker would start for a run of a deployment with these job variables."""
    values = {"env": worker_environment(HeartbeatConfig()), **values}
    nobody = PrefectClient("http://127.0.0.1:9/api")  # without a client, Prefect would start a server for a look at blocks
    job = asyncio.run(configuration.from_template_and_values(template, values, client=nobody))
    job.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="quick-fox"))
    return job


@pytest.fixture
def template(request):
    return json.loads((DOCKER / f"{request.param}-pool.json").read_text())


def validate(manifest):
    """Validate a job's manifest, without two keys that Prefect demands where no schema has them."""
    manifest = copy.deepcopy(manifest)
    for key in ("parallelism", "completions"):
        assert manifest["spec"]["template"]["spec"].pop(key) == 1
    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("template", ["docker"], indirect=True)
def test_a_docker_job_is_bounded_and_not_root(template):
    job = render(DockerWorkerJobConfiguration, template, image="reprise:2")
    assert job.image == "reprise:2"
    assert job.container_create_kwargs["user"] == "10001:10001"
    assert job.container_create_kwargs["nano_cpus"] == 2_000_000_000
    assert (job.mem_limit, job.memswap_limit, job.privileged) == ("4g", "4g", False)
    assert job.command == "prefect flow-run execute"
    assert job.env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


@pytest.mark.parametrize("template", ["kubernetes"], indirect=True)
def test_a_kubernetes_job_is_valid_bounded_and_not_root(template):
    job = render(KubernetesWorkerJobConfiguration, template, memory="8Gi", job_watch_timeout_seconds=600)
    validate(job.job_manifest)
    pod = job.job_manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["resources"]["limits"] == {"memory": "8Gi"}
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


@pytest.mark.parametrize("template", ["kubernetes"], indirect=True)
@pytest.mark.parametrize("defect", ["a key of no pod", "a number that is text", "no container"])
def test_a_defect_of_a_kubernetes_job_is_found(template, defect):
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    match defect:
        case "a key of no pod":
            pod["runAsNonRoot"] = True
        case "a number that is text":
            pod["securityContext"]["runAsUser"] = "10001"
        case "no container":
            pod["containers"] = []
    with pytest.raises((ValidationError, ValueError)):
        validate(render(KubernetesWorkerJobConfiguration, template).job_manifest)


@pytest.mark.parametrize("template", ["docker", "kubernetes"], indirect=True)
def test_every_variable_is_used_and_defined_and_none_is_a_secret(template):
    text = json.dumps(template["job_configuration"])
    assert set(re.findall(r"{{ (\w+) }}", text)) == set(template["variables"]["properties"])
    assert not re.search(r'password|"value":|://[^"]*@', json.dumps(template), re.IGNORECASE)


@pytest.mark.parametrize("template", ["docker"], indirect=True)
def test_a_defect_of_a_docker_job_is_found(template):
    template["job_configuration"]["volumes"] = ["no path of a container"]
    with pytest.raises(ValueError, match="volume"):
        render(DockerWorkerJobConfiguration, template)
