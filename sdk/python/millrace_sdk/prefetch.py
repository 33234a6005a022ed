"""Prefetch: how many attempts are worth queueing beyond the slots, so that no slot waits for a round trip. A port of
worker/core/prefetch.h: slots * round trip / duration, none before anything was observed and none for long tasks."""

LONG_TASK, TINY_TASK = 0.05, 20e-6
ROUND_TRIP_GUESS = 0.001
WEIGHT = 1 / 8


class Prefetch:
    def __init__(self, slots, most):
        self.slots, self.most, self.current = slots, most, 0
        self.duration = self.round_trip = None
        self.unseen = False

    def ran(self, seconds):
        seconds = max(seconds, 0.0)
        self.duration = seconds if self.duration is None else self.duration + WEIGHT * (seconds - self.duration)
        self.unseen = True

    def answered(self, seconds):
        sample = max(seconds, 1e-6)
        self.round_trip = sample if self.round_trip is None else self.round_trip + WEIGHT * (sample - self.round_trip)

    def target(self):
        if self.duration is None or self.duration > LONG_TASK:
            return 0
        if self.duration < TINY_TASK:
            return self.most
        return int(min(self.most, round(self.slots * (self.round_trip or ROUND_TRIP_GUESS) / self.duration)))

    def next(self):
        if self.unseen:
            self.unseen = False
            self.current = min(self.target(), max(self.slots * 2, self.current * 2))
        return self.current
