"""ItemRun: the items of one attempt of a node with `foreach`: which is next, what the earlier ones came to, when it is
enough. A port of worker/shell/item_runs.cc: items run one after the other in one slot; a failed one ends nothing; what was
not begun when the attempt ends is not in its report, and is dealt out again. Times are seconds, handed in.
"""
from .agent import Outcome
from .expressions import dump

OUTPUTS_MAX, FAILURES_MAX, ERRORS_MAX = 1024 * 1024, 100, 256 * 1024
NEWS_EVERY = 0.5


class ItemRun:
    def __init__(self, assignment, values, now):
        """`values`: as many as the assignment has items."""
        items = assignment.items
        self.assignment, self.values = assignment, values
        self.first, self.count, self.budget = items.first, items.count, items.budget_us / 1e6
        self.done, self.outputs, self.outputs_size = 0, [], 0
        self.failures, self.errors_size = [], 0  # (offset, reason, message, traceback)
        self.begun = self.told = now
        self.killed = 0      # why
        self.took_too_long = False  # the item that runs
        self.stuck = False   # an item did not end when it was told to: its slot is not free for the next one

    @property
    def index(self):
        return self.first + self.done

    @property
    def item(self):
        return self.values[self.done] if self.done < len(self.values) else None

    def is_over(self, now):
        if self.killed or self.stuck or self.done == self.count:
            return True
        return self.done > 0 and (
            self.outputs_size >= OUTPUTS_MAX or len(self.failures) >= FAILURES_MAX or self.errors_size >= ERRORS_MAX
            or 0 < self.budget <= now - self.begun)

    def ended(self, outcome):
        """The item that `index` named."""
        if self.killed and not outcome.success:
            return  # it did not end, it was stopped
        output = outcome.output or b"null"
        if not outcome.success:
            output = b"null"
            self.errors_size += len(outcome.message) + len(outcome.traceback)
            self.failures.append((self.done, outcome.reason, outcome.message, outcome.traceback))
        self.outputs.append(output)
        self.outputs_size += len(output) + 1
        self.done += 1

    def report(self, now):
        outcome = Outcome(not self.killed or self.done == self.count, ran=now - self.begun,
                          items=(self.count, self.done, self.failures))
        if not outcome.success:
            outcome.reason, outcome.message = self.killed, f"stopped after {self.done} of its items"
        if self.done:
            outcome.output = b"[" + b",".join(self.outputs) + b"]"
        return outcome

    def news(self, now):
        """Progress, as JSON; None: not yet."""
        if now - self.told < NEWS_EVERY:
            return None
        self.told = now
        return dump({"first": self.first, "done": self.done, "total": self.count})
