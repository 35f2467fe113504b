"""Train the unified classifier: ``python training.py --help``."""

from flawsight.cli import run_command

if __name__ == "__main__":
    run_command("train", "training.py")
