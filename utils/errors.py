"""The one kind of error that is the user's to mend: bad input, described in one clear line."""


class UserError(ValueError):
    """Input that cannot be used: the message names the place, what was found and what was expected."""
