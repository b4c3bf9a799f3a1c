"""`server.py` with workers that start slowly, as on a busy machine, and with other time limits.

The times come from the environment: SLOW_SECONDS is how long a worker sleeps before it imports anything,
ANSWER_SECONDS is how long a worker may hang, and GRACE_SECONDS is how long requests in progress may take when
the server stops.
"""

import os
import sys
import time

if __name__ == "__mp_main__":  # multiprocessing runs this file under this name in a worker
    time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))

from commands import serve, supervisor
from commands.command_line import main

supervisor.ANSWER_SECONDS = int(os.environ.get("ANSWER_SECONDS", supervisor.ANSWER_SECONDS))
serve.GRACE_SECONDS = int(os.environ.get("GRACE_SECONDS", serve.GRACE_SECONDS))

if __name__ == "__main__":
    main(sys.argv[1:])
