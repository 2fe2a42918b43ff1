"""Make a user of an MLflow server with authentication, or give one that is there a new password.

    mlflow_user.py NAME

The server and its administrator are `MLFLOW_TRACKING_URI`, `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`; the
user's password is `MLFLOW_NEW_PASSWORD`. The user may read what others made and has all rights on what it makes itself.
"""

import os
import sys

import requests

TIMEOUT_SECONDS = 30


def set_user(name: str, password: str) -> str:
    """Make the user, or set its password, and say which.

    Raises:
        requests.RequestException: the server could not be reached, or refused.
    """
    users = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/users"
    with requests.Session() as session:
        session.auth = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
        user = {"username": name, "password": password}
        found = session.get(f"{users}/get", params={"username": name}, timeout=TIMEOUT_SECONDS)
        if found.status_code == requests.codes.not_found:
            session.post(f"{users}/create", json=user, timeout=TIMEOUT_SECONDS).raise_for_status()
            return "made"
        found.raise_for_status()
        session.patch(f"{users}/update-password", json=user, timeout=TIMEOUT_SECONDS).raise_for_status()
        return "given its password"


if __name__ == "__main__":
    (user,) = sys.argv[1:]
    try:
        sys.stdout.write(f"user {user} was {set_user(user, os.environ['MLFLOW_NEW_PASSWORD'])}\n")
    except requests.RequestException as error:
        sys.exit(f"user {user} could not be made: {error}")
