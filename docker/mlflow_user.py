"""Make a user of an MLflow server with authentication, or give one that is there a new password.

    mlflow_user.py NAME

The server and its administrator are `MLFLOW_TRACKING_URI`, `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`; the
user's password is `MLFLOW_NEW_PASSWORD`. The user may read what others made and has all rights on what it makes itself.
"""

import os
import sys

from mlflow.exceptions import MlflowException  # noqa: TID251 (it belongs to the MLflow server)
from mlflow.server.auth.client import AuthServiceClient  # noqa: TID251


def set_user(name: str, password: str) -> str:
    """Make the user, or set its password, and say which."""
    client = AuthServiceClient(os.environ["MLFLOW_TRACKING_URI"])
    try:
        client.get_user(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_user(name, password)
        return "made"
    client.update_user_password(name, password)
    return "given its password"


if __name__ == "__main__":
    (user,) = sys.argv[1:]
    try:
        sys.stdout.write(f"user {user} was {set_user(user, os.environ['MLFLOW_NEW_PASSWORD'])}\n")
    except MlflowException as error:
        sys.exit(f"user {user} could not be made: {str(error).strip().splitlines()[0]}")
