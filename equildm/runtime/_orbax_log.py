"""What Orbax logs of its background threads and then raises in the next call."""

import logging
from typing import final


@final
class _RaisedLater(logging.Filter):
    """Drops tracebacks of Orbax: `save`, `wait` and `close` raise the same errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and "orbax" in record.pathname)


_FILTER = _RaisedLater()


def quieten_orbax() -> None:
    """Leaves errors of a save to those who wait for it. May be called again."""
    logging.getLogger("absl").addFilter(_FILTER)
