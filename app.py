"""Inspect parts in the browser: ``python app.py``, then open http://localhost:5000."""

from flawsight.web.serve import serve

if __name__ == "__main__":
    serve()
