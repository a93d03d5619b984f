"""Where the backend listens: a small file that the backend writes when it starts."""

import json
import os
from dataclasses import dataclass
from pathlib import Path


class BackendAbsent(Exception):
    """There is no usable record: the backend never started or its file is broken."""


@dataclass(frozen=True)
class BackendRecord:
    socket: str
    token: str


def state_home() -> Path:
    """The folder named by DYNAMO_LABS_HOME, else the XDG default."""
    home = os.environ.get("DYNAMO_LABS_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "dynamo-labs"


def read_backend_record() -> BackendRecord:
    """Reads the record anew, since a restarted backend has a new token."""
    file = state_home() / "run" / "backend.json"
    try:
        record = json.loads(file.read_text())
        return BackendRecord(socket=str(record["socket"]), token=str(record["token"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackendAbsent(f"{file}: {error}") from error
