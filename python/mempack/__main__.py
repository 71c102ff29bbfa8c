"""The command line of mempack without what needs a model: `python -m mempack verify docs.mpk`."""

import sys

from mempack._native import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
