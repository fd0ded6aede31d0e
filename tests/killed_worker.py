"""Trains a run in a process that can be killed. Not a test: test_resume.py starts it.

    killed_worker.py RUN SECONDS_A_STEP            train it to the end, slowly enough to be killed from outside
    killed_worker.py RUN 0 COUNT COUNT …           (POSIX) in one forked process after the other, each killed by SIGKILL
                                                   at its COUNT-th disk operation; the last one trains to the end
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch._dynamo  # noqa: F401  what every optimizer imports: once here, not once a fork

from gptlab.runs import worker


def kill_at(count: int) -> None:
    """Dies at the `count`-th fsync, rename or write of events; a write is then left half done."""
    left = [count]

    def dying(function, half=lambda *arguments: None):
        def wrapper(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return wrapper

    from gptlab.runs.eventlog import EventLog
    os.fsync, os.replace = dying(os.fsync), dying(os.replace)
    EventLog.append = dying(EventLog.append, half=lambda log, events: log._file.write(b'{"type":"step","step":1'))


def train(run_dir: Path, seconds_a_step: float) -> None:
    def should_stop() -> bool:
        time.sleep(seconds_a_step)
        return False

    print(worker.run(run_dir, should_stop=should_stop), flush=True)


def main() -> None:
    run_dir, seconds_a_step, counts = Path(sys.argv[1]), float(sys.argv[2]), [int(count) for count in sys.argv[3:]]
    for count in counts:
        pid = os.fork()
        if pid == 0:
            kill_at(count)
            train(run_dir, seconds_a_step)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)
    train(run_dir, seconds_a_step)


if __name__ == "__main__":
    main()
