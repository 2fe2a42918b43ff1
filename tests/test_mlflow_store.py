import pytest

from tasks.errors import RegistryError
from tasks.mlflow_store import connect, reaching_mlflow, run_link, shown_tracking_uri, tracking_uri


def test_links_exist_where_mlflow_is_a_server(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000/")
    assert run_link("3", "abc") == "http://mlflow:5000/#/experiments/3/runs/abc?workflowType=machine_learning"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert run_link("3", "abc") is None


def test_the_store_is_made_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    connect()
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()


@pytest.mark.parametrize("password", ["secret", "s@cret", "se:cret"])
def test_a_password_in_the_address_of_a_server_is_in_no_link_and_no_message(monkeypatch, password):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://worker:{password}@mlflow.example:5000/")
    assert run_link("1", "2") == "https://mlflow.example:5000/#/experiments/1/runs/2?workflowType=machine_learning"
    assert shown_tracking_uri() == "https://mlflow.example:5000/"
    with pytest.raises(RegistryError) as told, reaching_mlflow():
        raise OSError(f"no answer of https://worker:{password}@mlflow.example:5000/api")
    assert "cret" not in str(told.value)
