"""Secrets are planted wherever a user may have to give one, and then looked for in all that is printed, kept and recorded.

The servers are real, ask for a password, and keep what they know in files below one folder, which is searched byte for byte.
"""

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from urllib.parse import quote

import psutil
import pytest

from configs.environment import take_credentials_from_addresses
from configs.one_line import one_line, shown_value, without_credentials
from flows.servers import HOST, await_answer, free_port, running_server

FAULT = "planted secrets"
SECRETS = {
    name: f"planted-{name}-0xC0FFEE"
    for name in ("mlflow", "prefect", "token", "key", "aws", "data", "webhook", "database", "header", "bucket")
}
# A variable's name may stand in a log, and what MLflow makes of a password is its hash.
FORMS = {
    name: {
        secret,
        quote(secret, safe=""),
        base64.b64encode(f"admin:{secret}".encode()).decode(),
        base64.b64encode(secret.encode()).decode(),
    }
    for name, secret in SECRETS.items()
}


def found_in(text):
    """Return the names of the secrets that a text or bytes hold in any form."""
    content = text if isinstance(text, bytes) else text.encode()
    return sorted(name for name, forms in FORMS.items() if any(form.encode() in content for form in forms))


def found_below(folder):
    """Return path -> names of the secrets that stand in a file below a folder, or in its path."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a server writes meanwhile
            held = found_in(path.read_bytes()) if path.is_file() else []
            if names := held or found_in(str(path)):
                found[str(path.relative_to(folder))] = names
    return found


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": SECRETS["aws"],
    "PREFECT_API_KEY": SECRETS["key"],
}
REFUSED = [
    ["train", "--debug", "--data", f"https://somebody:{SECRETS['data']}@127.0.0.1:9/reviews.csv"],
    ["train", "--debug", "--data", f"https://127.0.0.1:9/reviews.csv?signature={SECRETS['data']}"],
    ["train", "--debug", "--config", "imdb", "--set", f"data.path=s3://somebody:{SECRETS['data']}@bucket/reviews.csv"],
    ["train", "--debug", "--config", "imdb", "--set", f"data.name=https://somebody:{SECRETS['data']}@bucket/reviews.csv"],
    ["train", "--debug", "--config", f"s3://somebody:{SECRETS['data']}@bucket/config.yaml"],
    ["train", "--debug", "--config", "sample", "--report", f"s3://somebody:{SECRETS['bucket']}@bucket/report.json"],
    ["score", "--debug", f"https://somebody:{SECRETS['data']}@127.0.0.1:9/reviews.csv", "scored.csv"],
    ["score", "--debug", "reviews.csv", f"s3://somebody:{SECRETS['bucket']}@bucket/scored.csv"],
    ["monitor", "--debug", f"https://somebody:{SECRETS['data']}@127.0.0.1:9/reviews.csv"],
    ["sweep", "--debug", "--config", "sample", "--sweep", "sweep.yaml"],
    ["models", "--debug"],
    [
        "schedule",
        "--debug",
        "--config",
        "sample",
        "--set",
        f"schedule.notification.notify=['https://hooks/{SECRETS['webhook']}']",
    ],
]
MANY_COMMANDS = """
import json, sys
from flows.cli import main
for arguments in json.loads(sys.stdin.read()):
    sys.argv = ["reprise", *arguments]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    print("code", code)
"""


def run_all(folder, commands, **environment):
    """Run commands one after the other in a process of its own, and return their exit codes and all that they printed."""
    done = subprocess.run(
        [sys.executable, "-c", MANY_COMMANDS],
        cwd=folder,
        env={**os.environ, "REPRISE_HOME": str(folder / ".reprise"), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **environment},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    codes = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("code ")]
    assert len(codes) == len(commands), done.stderr
    return codes, done.stdout + done.stderr


def test_credentials_leave_an_address_for_the_variables_that_libraries_read(monkeypatch):
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(name, "")  # so that it is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:a%40b%2F:c@mlflow:5000/path")
    monkeypatch.setenv("PREFECT_API_URL", "https://ann:p%40q@prefect/api")
    for _ in range(2):
        take_credentials_from_addresses()
        assert os.environ["MLFLOW_TRACKING_URI"] == "http://mlflow:5000/path"
        assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "a@b/:c"  # noqa: S105 (made up)
        assert os.environ["PREFECT_API_URL"] == "https://prefect/api"
        assert os.environ["PREFECT_API_AUTH_STRING"] == "ann:p@q"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:other@mlflow:5000")
    take_credentials_from_addresses()
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"  # what is said by its own variable stays


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://a:SECRET@host/mlflow",
        "at postgresql://a:pass/SECRET@host/mlflow there is",
        "at http://a:SECRET@host:5000/api and http://SECRET@host",
        "'https://host/x.csv?sig=SECRET&b=1'",
        "s3://key:SECRET@bucket",
    ],
)
def test_a_text_is_shown_without_what_an_address_carries(text):
    assert "SECRET" in text
    for show in (without_credentials, one_line, shown_value):
        assert "SECRET" not in show(text)
        assert "host" in show(text) or "bucket" in show(text)
    assert without_credentials("http://h/#/runs/1?workflowType=x") == "http://h/#/runs/1?workflowType=x"


@pytest.mark.fault(FAULT)
def test_what_is_refused_does_not_tell_its_secrets(tmp_path, tries):
    """Each command fails, with its traceback asked for."""
    (tmp_path / "reviews.csv").write_text("text,label\na film,1\n")
    study = {"name": "a", "trials": 1, "space": {"training.seed": {"choices": [1]}}}
    (tmp_path / "sweep.yaml").write_text(
        json.dumps({**study, "storage": f"postgresql://a:{SECRETS['database']}@127.0.0.1:9/b"})
    )
    uri = f"http://admin:{SECRETS['mlflow']}@127.0.0.1:9"
    codes, told = run_all(tmp_path, REFUSED, **ENVIRONMENT, MLFLOW_TRACKING_URI=uri)
    assert set(codes) <= {"1", "2"}, told
    assert told.count("Traceback") >= len(REFUSED)
    tries(len(REFUSED), len(REFUSED) - len(found_in(told)))
    assert found_in(told) == [], told
    (tmp_path / "sweep.yaml").unlink()
    assert found_below(tmp_path) == {}


AUTHENTICATION = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@pytest.fixture
def servers(tmp_path):
    """An MLflow and a Prefect server that ask for a password: their addresses with it, and the folder of all they keep."""
    folder, ports = tmp_path / "servers", {"mlflow": free_port(), "prefect": free_port()}
    folder.mkdir()
    outside = tmp_path / "authentication.ini"
    outside.write_text(AUTHENTICATION.format(folder=folder, password=SECRETS["mlflow"]))
    mlflow = ["mlflow", "server", "--host", HOST, "--port", str(ports["mlflow"]), "--workers", "1", "--app-name", "basic-auth"]
    mlflow += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    prefect = ["prefect", "server", "start", "--host", HOST, "--port", str(ports["prefect"])]
    of_mlflow = {"MLFLOW_AUTH_CONFIG_PATH": str(outside), "MLFLOW_FLASK_SERVER_SECRET_KEY": "signing"}
    of_prefect = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_API_AUTH_STRING": f"admin:{SECRETS['prefect']}"}
    with (
        running_server("MLflow", mlflow, ports["mlflow"], "/health", folder, of_mlflow) as one,
        running_server("Prefect", prefect, ports["prefect"], "/api/health", folder, of_prefect) as other,
    ):
        await_answer(one)
        await_answer(other)
        addresses = {
            "MLFLOW_TRACKING_URI": f"http://admin:{SECRETS['mlflow']}@{HOST}:{ports['mlflow']}",
            "PREFECT_API_URL": f"http://admin:{SECRETS['prefect']}@{HOST}:{ports['prefect']}/api",
        }
        yield addresses, folder


@contextlib.contextmanager
def watched_arguments():
    """In the block, gather the secrets that stand in the arguments of this process's descendants."""
    seen, end = set(), threading.Event()

    def watch():
        while not end.wait(0.5):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    seen.update(found_in("\0".join(process.cmdline())))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()


BLOCK = """
import os
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from pydantic import SecretStr
SlackWebhook(url=SecretStr("https://hooks.slack.com/services/" + os.environ["WEBHOOK"])).save("ops")
secrets = {"token": os.environ["HEADER"]}
CustomWebhookNotificationBlock(name="room", url="http://127.0.0.1:9", json_data={}, secrets=secrets).save("room")
"""


@pytest.mark.long
@pytest.mark.fault(FAULT)
def test_no_secret_of_a_training_that_works_or_fails_is_kept_anywhere(servers, workplace, tries):
    addresses, kept = servers
    config = workplace.write_config("training.epochs=1")
    workplace.environment |= {**addresses, **ENVIRONMENT, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    wrong = addresses["MLFLOW_TRACKING_URI"].replace(SECRETS["mlflow"], SECRETS["token"])
    known = {**workplace.environment, "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": SECRETS["token"]}
    with watched_arguments() as seen:
        told = [
            workplace.run("train", "--config", config, "--report", "report.json"),
            workplace.run("predict", "a film"),
            run_all(
                workplace.folder,
                [["train", "--debug", "--config", str(config), "--set", "training.learning_rate=1.0e+38"]],
                **workplace.environment,
            ),
            run_all(workplace.folder, [["models", "--debug"]], **{**workplace.environment, "MLFLOW_TRACKING_URI": wrong}),
            run_all(workplace.folder, [["models", "--debug"]], **known),
            run_all(workplace.folder, [["models", "--debug"]], **{**known, "MLFLOW_TRACKING_TOKEN": SECRETS["token"]}),
        ]
        environment = {
            **workplace.environment,
            "PREFECT_API_URL": addresses["PREFECT_API_URL"].replace(f"admin:{SECRETS['prefect']}@", ""),
        }
        environment["PREFECT_API_AUTH_STRING"] = f"admin:{SECRETS['prefect']}"
        made = subprocess.run(
            [sys.executable, "-c", BLOCK],
            env={**environment, "WEBHOOK": SECRETS["webhook"], "HEADER": SECRETS["header"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        notify = ["--set", "schedule.notification.notify=[slack-webhook/ops,custom-webhook/room]"]
        told.append(workplace.run("schedule", "--config", config, "--pool", "pool", *notify))
    assert "TrainingDiverged" in told[2][1]
    assert "does not take the user" in told[3][1]
    assert "slice-lstm" in told[1][0]
    assert found_in((kept.parent / "authentication.ini").read_bytes()) == ["mlflow"]  # what is looked for would be found
    everything = [str(outputs) for outputs in told]
    found = {f"output {number}": found_in(text) for number, text in enumerate(everything) if found_in(text)}
    found |= {"arguments": sorted(seen)} if seen else {}
    found |= found_below(workplace.folder) | found_below(kept)
    tries(len(told), len(told) - len(found))
    assert found == {}
