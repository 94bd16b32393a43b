"""``python -m tui_trader``."""

import sys

from tui_trader.cli import main

if __name__ == "__main__":
    sys.exit(main())
