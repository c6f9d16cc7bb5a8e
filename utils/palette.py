"""Palette of the classes: a colour for each place in the list of class names that training has used."""

Colour = tuple[int, int, int]  # RGB

# The first seven are those of Okabe and Ito (2008), told apart with every kind of colour vision.  The others
# were searched for: any two of the twenty are at least 17 apart (CIEDE2000), and 26 from black and white.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (135, 60, 255),
    (0, 255, 0),
    (255, 165, 150),
    (255, 15, 60),
    (150, 150, 0),
    (210, 180, 255),
    (0, 255, 195),
    (150, 195, 120),
    (45, 195, 195),
    (120, 135, 255),
    (255, 0, 255),
    (60, 135, 0),
    (210, 15, 120),
)
# of every further twenty classes: part of the way to black (below 0) or to white; after 100 it begins again
SHADES = (0.0, -0.5, 0.5, -0.7, 0.75)


def class_colour(label: int) -> Colour:
    """Return the colour of a class by its place in the list of class names, whatever else is shown."""
    turn, place = divmod(label, len(PALETTE))
    return shade(PALETTE[place], SHADES[turn % len(SHADES)])


def shade(colour: Colour, amount: float) -> Colour:
    """Return a colour moved towards white, or by a negative amount towards black; 1 or -1 is all the way."""
    end = 255 if amount > 0 else 0
    red, green, blue = (round(c + (end - c) * abs(amount)) for c in colour)
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever can be read on the colour."""
    red, green, blue = colour
    return (0, 0, 0) if 0.3 * red + 0.59 * green + 0.11 * blue > 110 else (255, 255, 255)


def hex_colour(colour: Colour) -> str:
    """Return a colour as matplotlib and pages have it: #rrggbb."""
    return "#" + bytes(colour).hex()
