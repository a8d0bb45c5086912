"""How every command of ours begins and ends: one line per error, an exit status that says what happened."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from recscale.errors import RecscaleError

TERMINATED = 128 + signal.SIGTERM


def run_command(command: Callable[[], int]) -> NoReturn:
    """Exits with the command's own status; 1 and one line for a RecscaleError; 130 on Ctrl-C; 143 on SIGTERM.

    SIGTERM raises SystemExit in the main thread, so that `finally` blocks run: `ray job stop` gives three seconds.
    """
    told: list[int] = []

    def stop(number: int, _: object) -> None:
        told.append(number)
        sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, stop)
    status: int | str | None
    try:
        status = command()
    except SystemExit as ended:  # of --help, a usage error or SIGTERM: leave with its status, not with its frames
        status = TERMINATED if told else ended.code  # what is raised while Ray waits comes out of it with status 1
        if told:
            print("stopped; the same command goes on from here", file=sys.stderr)
    except RecscaleError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        status = 128 + signal.SIGINT
    sys.exit(status)
