"""Django: an app that keeps connections, transactions and languages right around tasks.

Put `"cano_sync.django"` into `INSTALLED_APPS`, and nothing else is needed: see the guide. What a
view calls by name is here; what a test needs is in `cano_sync.django.testing`.
"""

try:
    from .commits import submit_on_commit
    from .requests import request_token
    from .statements import statement_timeout
    from .warning import OpenTransactionWarning
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] not in ("django", "asgiref"):
        raise
    raise ModuleNotFoundError(
        "cano_sync.django needs Django 5.2 or later: pip install 'cano_sync[django]'",
        name=error.name,
    ) from error

__all__ = (
    "OpenTransactionWarning",
    "request_token",
    "statement_timeout",
    "submit_on_commit",
)
