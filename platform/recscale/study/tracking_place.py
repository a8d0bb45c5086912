"""Where a storage's studies are logged to in MLflow."""

import os
from pathlib import Path

from recscale.storage.location import Location
from recscale.storage.remote import RemotePath


def tracking_uri(storage: Location) -> str:
    """MLFLOW_TRACKING_URI where it is set, else a SQLite file in the storage, or in this folder for a remote one."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _sqlite_uri(storage)


def tracking_note(storage: Location) -> str:
    """Where MLflow's runs go, if that is not where a user looks for them; else empty."""
    if os.environ.get("MLFLOW_TRACKING_URI") or not isinstance(storage, RemotePath):
        return ""
    return f"MLflow: {tracking_uri(storage)}, as no database can be at a URI; MLFLOW_TRACKING_URI names a server"


def own_database(storage: Location) -> Path | None:
    """The SQLite file of the storage, where its studies are logged there; None where they are logged elsewhere."""
    return _database(storage) if tracking_uri(storage) == _sqlite_uri(storage) else None


def _database(storage: Location) -> Path:
    return (Path.cwd() if isinstance(storage, RemotePath) else Path(str(storage))) / "mlflow.db"


def _sqlite_uri(storage: Location) -> str:
    return f"sqlite:///{_database(storage)}"
