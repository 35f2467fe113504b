"""What can go wrong, as one tree. Every message says what to do next.

FlawsightError
├── ImageError            the picture cannot be inspected (HTTP 400)
│   ├── NotAnImage        bytes that no decoder knows, or a file that ends early (415)
│   ├── ImageTooLarge     over the byte or the pixel limit (413)
│   └── EmptyUpload       zero bytes, or no file at all (400)
├── DataError             a dataset folder is missing, laid out wrongly, or unreadable
├── ModelError            a model file is missing, damaged, or of another format
│   └── WeightsUnavailable  pretrained weights cannot be had here
├── RecordError           the store cannot be read or written
│   └── NotFound          no such inspection (404)
└── SettingsError         a setting has a value that cannot work
"""

from __future__ import annotations

from flawsight.i18n import ENGLISH, gettext, speaking


class FlawsightError(Exception):
    """Base of every error that is meant to be read by a person.

    ``code`` is stable text for programs; ``status`` is the HTTP status the web uses. ``str`` of it is
    English: ``message`` with ``values`` in place of ``%(name)s``.
    """

    code = "error"
    status = 500

    def __init__(self, message: str = "", **values: object) -> None:
        with speaking(ENGLISH):  # a figure among the values is written as the present language does
            super().__init__(message % values if values else message)
        self._message, self._values = message, values

    def said(self) -> str:
        """The message in the reader's language."""
        return gettext(self._message, **self._values)


class ImageError(FlawsightError):
    code = "bad_image"
    status = 400


class NotAnImage(ImageError):
    code = "not_an_image"
    status = 415


class ImageTooLarge(ImageError):
    code = "image_too_large"
    status = 413


class EmptyUpload(ImageError):
    code = "empty_upload"


class DataError(FlawsightError):
    code = "bad_data"


class ModelError(FlawsightError):
    code = "bad_model"
    status = 503


class WeightsUnavailable(ModelError):
    code = "weights_unavailable"


class RecordError(FlawsightError):
    code = "record_error"
    status = 503


class NotFound(RecordError):
    code = "not_found"
    status = 404


class SettingsError(FlawsightError):
    code = "bad_setting"
