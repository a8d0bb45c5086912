"""Where Ray keeps what is its own, as its run configurations want it: a folder, or pyarrow's filesystem and a path."""

from typing import Any

from recscale.storage.location import Location
from recscale.storage.remote import RemotePath


def storage_of(folder: Location) -> dict[str, Any]:
    """Arguments of Ray's RunConfig. A URI's settings, such as an endpoint, travel inside the filesystem."""
    if isinstance(folder, RemotePath):
        return {"storage_path": folder.in_filesystem, "storage_filesystem": folder.filesystem}
    return {"storage_path": str(folder)}
