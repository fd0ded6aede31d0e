"""`python -m gptlab …`."""

import sys

from gptlab.cli import main
from gptlab.memory import few_heaps
from gptlab.processors import share_processors

if __name__ == "__main__":
    few_heaps()
    share_processors()
    sys.exit(main())
