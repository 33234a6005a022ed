'use strict';
// ItemRun: the items of one attempt of a node with `foreach`: which is next, what the earlier ones came to, when it is
// enough. A port of worker/shell/item_runs.cc: items run one after the other in one slot; a failed one ends nothing; what
// was not begun when the attempt ends is not in its report, and is dealt out again. Times are milliseconds, handed in.

const [OUTPUTS_MAX, FAILURES_MAX, ERRORS_MAX] = [1024 * 1024, 100, 256 * 1024];
const NEWS_EVERY = 500;

class ItemRun {
  // `values`: as many as the assignment has items.
  constructor(assignment, values, now) {
    const {first, count, budget} = assignment.items;
    Object.assign(this, {assignment, values, first, count, budget, done: 0, outputs: [], outputsSize: 0, failures: [],
      errorsSize: 0, begun: now, told: now, killed: 0,
      tookTooLong: false,  // the item that runs
      stuck: false});  // an item did not end when it was told to: its slot is not free for the next one
  }

  get index() {
    return this.first + this.done;
  }

  get item() {
    return this.values[this.done] ?? null;
  }

  isOver(now) {
    if (this.killed || this.stuck || this.done === this.count) return true;
    return this.done > 0 && (this.outputsSize >= OUTPUTS_MAX || this.failures.length >= FAILURES_MAX ||
      this.errorsSize >= ERRORS_MAX || (this.budget > 0 && now - this.begun >= this.budget));
  }

  // The item that `index` named.
  ended(outcome) {
    if (this.killed && !outcome.success) return;  // it did not end, it was stopped
    const output = outcome.success ? outcome.output ?? 'null' : 'null';
    if (!outcome.success) {
      this.errorsSize += outcome.message.length + outcome.traceback.length;
      this.failures.push({offset: this.done, reason: outcome.reason, message: outcome.message, traceback: outcome.traceback});
    }
    this.outputs.push(output);
    this.outputsSize += output.length + 1;
    ++this.done;
  }

  report(now) {
    const success = !this.killed || this.done === this.count;
    return {success, reason: success ? 0 : this.killed,
      message: success ? '' : `stopped after ${this.done} of its items`, traceback: '', waited: 0, ran: now - this.begun,
      output: this.done > 0 ? '[' + this.outputs.join(',') + ']' : null,
      items: {count: this.count, done: this.done, failures: this.failures}};
  }

  // Progress, as JSON; undefined: not yet.
  news(now) {
    if (now - this.told < NEWS_EVERY) return undefined;
    this.told = now;
    return `{"first":${this.first},"done":${this.done},"total":${this.count}}`;
  }
}

module.exports = {ItemRun};
