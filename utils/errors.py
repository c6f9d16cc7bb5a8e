"""The one kind of error that is the user's to mend: bad input, described in one clear line."""


class UserError(ValueError):
    """Input that cannot be used: the message names the place, what was found and what was expected."""


def first_line(error: BaseException) -> str:
    """Return the first line of a message of a library, or the name of an error without one."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]
