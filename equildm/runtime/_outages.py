"""Errors of protocols: which are outages that pass."""

_FINAL = (ValueError, TypeError, ImportError, NotImplementedError, PermissionError)
"""Errors that waiting does not mend, beside a file that is not there."""


def may_pass(error: Exception) -> bool:
    """Whether an error may be an outage that passes."""
    code = getattr(error, "code", getattr(getattr(error, "response", None), "status_code", None))
    if isinstance(code, int):
        return code in (408, 429) or code >= 500
    return not isinstance(error, _FINAL) and "Credentials" not in type(error).__name__


def error_text(error: Exception) -> str:
    """What an error says, in one line, without a full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
