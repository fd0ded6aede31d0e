"""What goes wrong with data, in one sentence."""


class DataError(ValueError):
    """A problem with data that the user can mend: one sentence that says what is wrong and what to do."""
