"""Hiding the passwords of database addresses, wherever an address is printed."""

import re

HIDDEN = "***"
# As in SQLAlchemy, the password is between the first colon after the user and the "@" before the
# host. If there is another "@" before the next "/", the first one belongs to the password, in which
# it should have been written as %40.
_BEFORE_HOST = re.compile(r"(://[^:/]*:)[^@]*@(?:[^@/?]*@)*")
_IN_QUERY = re.compile(r"([?&;][^=&;]*(?:pass|pwd|secret|token|odbc_connect)[^=&;]*=)[^&]*", re.I)


def hidden(address: str) -> str:
    """An address, or a text that contains one, with its password replaced by `HIDDEN`."""
    return _IN_QUERY.sub(rf"\1{HIDDEN}", _BEFORE_HOST.sub(rf"\1{HIDDEN}@", address))
