"""Where a storage's studies are logged to in MLflow."""

import os
from pathlib import Path

from recscale.storage.location import Location
from recscale.storage.remote import RemotePath


def tracking_uri(storage: Location) -> str:
    """MLFLOW_TRACKING_URI where it is set, else a SQLite file in the storage, or in this folder for a remote one."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database(storage)}"


def tracking_note(storage: Location) -> str:
    """Where MLflow's runs go, if that is not where a user looks for them; else empty."""
    if os.environ.get("MLFLOW_TRACKING_URI") or not isinstance(storage, RemotePath):
        return ""
    return f"MLflow: {tracking_uri(storage)}, as no database can be at a URI; MLFLOW_TRACKING_URI names a server"


def database(storage: Location) -> Path:
    """The SQLite file of a storage that names no server."""
    return (Path.cwd() if isinstance(storage, RemotePath) else Path(str(storage))) / "mlflow.db"
