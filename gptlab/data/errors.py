"""What goes wrong with data, in one sentence."""


class DataError(ValueError):
    """A problem with data that the user can mend: one sentence that says what is wrong and what to do."""


class TooMuchText(DataError):
    """A file unpacks to more text than can be read, however small it is itself."""
