"""``python -m flawsight``."""

from flawsight.cli import main

if __name__ == "__main__":
    main()
