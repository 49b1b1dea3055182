"""How many requests at once a court takes: additive increase, multiplicative decrease.

Every full round of answers adds one; a sign of overload halves. Requests that were already under
way when the limit was cut tell of the same congestion and do not cut it again, so five failures of
one batch cut it once (as TCP does it once per round trip).
"""


class AdaptiveLimit:
    """A limit between 1 and `most`, starting there. Plain numbers, no clock."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError("a limit below 1 would stop everything")
        self._most = most
        self._exact = float(most)
        self._cuts = 0

    @property
    def value(self) -> int:
        """Requests at once."""
        return int(self._exact)

    @property
    def round(self) -> int:
        """To be remembered by a request at its start."""
        return self._cuts

    def succeeded(self) -> None:
        """A request was answered."""
        self._exact = min(float(self._most), self._exact + 1 / self._exact)

    def overloaded(self, begun_in: int) -> None:
        """A request that began in the given round brought a sign of overload."""
        if begun_in == self._cuts:
            self._cuts += 1
            self._exact = max(1.0, self._exact / 2)
