"""The browser's and the programs' door: pages, API, pictures, reports. Views parse, call and render."""

from flawsight.web.factory import create_app

__all__ = ["create_app"]
