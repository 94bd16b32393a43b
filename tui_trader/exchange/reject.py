"""Refusals with the venue's own codes and texts."""


class VenueError(Exception):
    """A refused request: `code` and `message` go out as the body, `status` as the HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status


def missing(name: str) -> VenueError:
    """-1102: a mandatory parameter is absent or cannot be read."""
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def invalid(name: str) -> VenueError:
    """-1130: a parameter has a value that is not allowed."""
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def not_required(name: str) -> VenueError:
    """-1106: a parameter that must be left out was sent."""
    return VenueError(-1106, f"Parameter '{name}' sent when not required.")


def illegal(name: str, pattern: str) -> VenueError:
    """-1100: a parameter holds characters outside its legal range."""
    text = f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'."
    return VenueError(-1100, text)


def invalid_symbol() -> VenueError:
    """-1121: no such symbol."""
    return VenueError(-1121, "Invalid symbol.")
