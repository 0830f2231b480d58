"""Programs in processes of their own that begin where TensorFlow has been imported.

A server that has imported it, and done nothing else, forks for each of them: the seconds that the
import takes are spent once. From there on it is a process as any: with arguments, environment and
folder of its own, ended by signals, with an exit code.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["ccpdml.training", "ccpdml.serving", "matplotlib.pyplot"])


class Program:
    """What `subprocess.Popen` is of a Python program; it leads a session of its own.

    Attributes:
        pid: of the process, int.
    """

    def __init__(self, command, cwd=None, env=None):
        """Starts a program.

        Args:
            command: of words: this Python, the file of the program, its arguments.
            cwd: the folder it begins in; None: the present one.
            env: its environment; None: the present one.
        """
        python, *words = map(str, command)
        assert python == sys.executable
        self._printed = tempfile.NamedTemporaryFile()  # noqa: SIM115, as long as this
        environment = dict(os.environ if env is None else env)
        arguments = (words, str(cwd or Path.cwd()), environment, self._printed.name)
        self._process = _SERVER.Process(target=_become, args=arguments)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        """The exit code, minus the number of the signal that ended it, or None while it runs."""
        return self._process.exitcode

    def poll(self):
        """The same as `returncode`."""
        return self.returncode

    def wait(self, timeout=None):
        """Waits for its end; returns `returncode`."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """Waits for its end; returns all that it printed, and None."""
        self.wait(timeout)
        return Path(self._printed.name).read_text(), None

    def send_signal(self, number):
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """Asks it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


def _become(words, cwd, environment, printed):
    """Has this process be that of a program."""
    os.setsid()
    with open(printed, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = words
    sys.path.insert(0, str(Path(words[0]).resolve().parent))
    runpy.run_path(words[0], run_name="__main__")
