"""Guard against XML that could exhaust the memory."""

from xml.parsers import expat


class _Declared(Exception):
    pass


def declares_entities(data: bytes) -> bool:
    """Return whether an XML document declares entities of its own, in any encoding; False for what is not XML.

    A few lines of nested entities expand to gigabytes, and no export of annotations needs one.
    """

    def declared(*_: object) -> None:
        raise _Declared

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = declared  # called before anything is expanded
    try:
        parser.Parse(data, True)
    except _Declared:
        return True
    except (expat.ExpatError, ValueError, LookupError):  # a damaged file or an unknown encoding: its reader says so
        return b"<!ENTITY" in data
    return False
