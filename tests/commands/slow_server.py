"""`server.py` with workers that take their time to start, as on a busy machine, and other bounds.

SLOW_SECONDS is how long they take before they import anything, ANSWER_SECONDS how long they may hang, and
GRACE_SECONDS how long they may take to end.
"""

import os
import sys
import time

if __name__ == "__mp_main__":  # as multiprocessing calls it in a worker
    time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))

from commands import serve, supervisor
from commands.command_line import main

supervisor.ANSWER_SECONDS = float(os.environ.get("ANSWER_SECONDS", supervisor.ANSWER_SECONDS))
serve.GRACE_SECONDS = int(os.environ.get("GRACE_SECONDS", serve.GRACE_SECONDS))

if __name__ == "__main__":
    main(sys.argv[1:])
