"""How every program here starts TensorFlow: without the lines about its own insides."""

import faulthandler
import os
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
# Of the programs, which import nothing else from here. Python looks into the folder of a program
# first, where `study.py` and others would hide modules of the same names that a gin file imports.
if Path(sys.argv[0]).resolve().parent == _HERE:
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != _HERE]


def import_tensorflow():
    """Imports TensorFlow, with the library, and has it tell nothing but what it raises.

    Whoever sets TF_CPP_MIN_LOG_LEVEL (0 to 3) gets all that it tells from that level on. What was
    told before an import that fails is shown.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as told:
        # Parts of it write to the descriptor before they know the level.
        os.dup2(told.fileno(), 2)
        faulthandler.enable(shown)
        try:
            import ccpdml  # noqa: F401
        except KeyboardInterrupt:
            raise SystemExit("Stopped.") from None
        except BaseException:
            told.seek(0)
            os.write(shown, told.read())
            raise
        finally:
            os.dup2(shown, 2)
            del os.environ[
                "TF_CPP_MIN_LOG_LEVEL"
            ]  # Read by now; programs started here do the same.
            faulthandler.disable()
            os.close(shown)
