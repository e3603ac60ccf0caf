"""No password of a database is ever printed."""

import re

HIDDEN = "***"
# As SQLAlchemy reads an address: what stands between the first colon after the user and an "@". A
# further "@" before the next "/" belongs to a password in which it should have been written as %40.
_BEFORE_HOST = re.compile(r"(://[^:/]*:)[^@]*@(?:[^@/?]*@)*")
_IN_QUERY = re.compile(r"([?&;][^=&;]*(?:pass|pwd|secret|token|odbc_connect)[^=&;]*=)[^&]*", re.I)


def hidden(address: str) -> str:
    """An address, or an argument that has one in it, with its password hidden."""
    return _IN_QUERY.sub(rf"\1{HIDDEN}", _BEFORE_HOST.sub(rf"\1{HIDDEN}@", address))
