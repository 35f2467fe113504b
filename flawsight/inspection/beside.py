"""A few threads for small work on one picture that need not wait for its turn, such as encoding.

For one part at a time this saves milliseconds; where many are inspected at once it changes nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2

cv2.setNumThreads(1)  # a step that takes all cores for itself waits for those that are at work beside it
BESIDE = ThreadPoolExecutor(2, thread_name_prefix="beside")  # its threads begin with the first work
