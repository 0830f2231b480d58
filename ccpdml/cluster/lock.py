"""One process at a time writes a run directory."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

EXIT_CODE = 73  # Of a process that left a directory to another one.


class RunActiveError(OSError):
    """Another process is training in the run directory."""


@contextlib.contextmanager
def held(directory: str | Path) -> Iterator[None]:
    """Holds `run.lock` in a directory; the system releases it when the process dies.

    Raises:
        RunActiveError: if another process holds it, naming that process.
    """
    import fcntl  # Not on Windows, where the rest of the library can be imported.

    with (Path(directory) / "run.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise RunActiveError(
                f"A run is active in {directory}: {file.read()}. Wait for it, stop it, or choose "
                "another --run_dir."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield
