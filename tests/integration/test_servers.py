"""The servers of docker/compose.yaml on PostgreSQL, with authentication: from a deployed training to a restored backup.

The tests stand in the order of their story, and share its servers.
"""

import json

import pytest

from tests.integration.topology import VARIABLES, postgres_binaries, running_topology

MODEL = "slice-lstm"
DEPLOYMENT = "training/slice"

pytestmark = pytest.mark.skipif(postgres_binaries() is None, reason="no PostgreSQL: apt-get install postgresql")


@pytest.fixture(scope="module")
def topology(tmp_path_factory):
    """PostgreSQL, MLflow, Prefect and a worker, each with what compose.yaml says."""
    with running_topology(tmp_path_factory.mktemp("topology") / "one", REPRISE_MODEL=MODEL) as topology:
        topology.start_database()
        topology.start("mlflow")
        topology.start("prefect")
        topology.wait_for("prefect")
        topology.start("worker")
        topology.wait_for("mlflow")
        topology.run("mlflow-user")
        topology.wait_for("worker")
        yield topology


@pytest.fixture(scope="module")
def prefect_client(topology):
    """Prefect in this process as the client of the topology's server."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    settings = {PREFECT_API_URL: f"{topology.url('4200')}/api", PREFECT_API_AUTH_STRING: VARIABLES["PREFECT_AUTH"]}
    with temporary_settings(settings):
        yield


@pytest.fixture(scope="module")
def training_run(topology, prefect_client, configure):
    """The flow run of a training that was deployed to the work pool, and that the worker carried out."""
    from prefect.deployments import run_deployment
    from prefect.deployments.runner import EntrypointType

    from flows.training import training

    config = configure("training.epochs=1").model_dump(mode="json")
    training.to_deployment(
        DEPLOYMENT.split("/")[1],
        work_pool_name="reprise",
        parameters={"config": config},
        entrypoint_type=EntrypointType.MODULE_PATH,
    ).apply()
    return run_deployment(DEPLOYMENT, timeout=240, poll_interval=0.5, as_subflow=False)


@pytest.fixture
def reprise(command, topology, prefect_client, monkeypatch, tmp_path):
    """Run `reprise` as the user `worker`, or as a test says, of the topology's servers."""
    monkeypatch.chdir(tmp_path)
    for name, value in topology.environment("worker").items():
        if name.startswith("MLFLOW_TRACKING"):
            monkeypatch.setenv(name, value)
    return lambda *arguments: json.loads(command(*arguments, "--json").stdout)


def test_a_deployed_training_makes_a_champion_and_all_is_in_postgresql(topology, training_run, reprise):
    assert training_run.state.is_completed(), topology.log("worker")[-3000:]
    (version,) = reprise("models")
    assert (version["name"], version["version"], version["aliases"]) == (MODEL, "1", ["champion"])
    for database, question in (
        ("mlflow", "select name || version from model_versions"),
        ("mlflow_auth", "select username from users order by id"),
        ("prefect", "select state_type from flow_run"),
    ):
        found = topology.superuser("psql", "--no-align", "--tuples-only", "--command", question, database).stdout.split()
        assert found == {"mlflow": [f"{MODEL}1"], "mlflow_auth": ["admin", "worker"], "prefect": ["COMPLETED"]}[database]
    assert list(topology.folder.glob("artifacts/**/model.keras")), "artifacts do not lie in the server's folder"
