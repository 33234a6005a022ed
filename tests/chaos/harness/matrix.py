"""The table of rows: what is played, what other tests play, what cannot be played here."""

ROWS = {}  # number -> Row, in order of definition


class Row:
    def __init__(self, number, title, play, where, slow):
        self.number, self.title, self.play, self.where, self.slow = number, title, play, where, slow


def row(number, title, slow=False):
    """A row that is played here. `slow`: not in the short form."""
    def keep(play):
        ROWS[number] = Row(number, title, play, None, slow)
        return play
    return keep


def elsewhere(number, title, where):
    """A row that other tests of this repository play: they are named, not repeated."""
    ROWS[number] = Row(number, title, None, where, False)


def ordered():
    def key(number):
        digits = number.rstrip("abcdefghijklmnopqrstuvwxyz")
        return int(digits), number[len(digits):]
    return [ROWS[number] for number in sorted(ROWS, key=key)]
