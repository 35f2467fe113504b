"""Flawsight looks at a photo of a part and says: good or defective, what, where, how sure."""

import os

__version__ = "0.1.0"

# Images are inspected side by side, one a core: a small matrix product that takes all cores for itself
# holds up the others and gains nothing. NumPy reads this when it is first imported, so it stands here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
