"""`python -m gptlab …`."""

import sys

from gptlab.cli import main
from gptlab.processors import share_processors

if __name__ == "__main__":
    share_processors()
    sys.exit(main())
