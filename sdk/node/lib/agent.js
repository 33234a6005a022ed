'use strict';
// Agent: what a worker decides, pure: told what coordinators say and what its tasks do, it asks for tasks to be started
// and killed and for messages to be sent. A port of worker/core/agent.cc, which explains each rule; the same promises
// hold: never more than `slots` attempts at once nor more than its resources are enough for; an attempt is started at
// most once; every ended attempt is reported until it is answered; `refused` kills one that still runs; a repeated
// assignment is ignored; every Hello names all that is held; assignments of an epoch lower than one heard of its partition
// are ignored. Times are milliseconds of a clock that never goes back, handed in.
const {messages, order} = require('./wire');

const REPORT_AGAIN = 1000;
const REPORT_LARGE = 4 * 1024;
const REPORT_BYTES = 64 * 1024;
const STARTED_AFTER = 20;
const HELLO_EVERY = 100;
const [NAME_FREE_AFTER, NAME_TRY_EVERY] = [4000, 500];
const [SILENT_AFTER, RECONCILE_AFTER] = [3000, 10_000];
const LEAVE_AFTER_KILL = 10_000;
const [HELD_MAX, RECENT_MAX] = [65_536, 16_384];
const NEVER = Infinity;

const [QUEUED, RUNNING, ENDED] = [0, 1, 2];
const REFUSED = 2;
const [ANSWERED, GIVEN_BACK] = [0, 1];
const [REASON_TIMEOUT, REASON_LOST, REASON_CANCELLED] = [2, 3, 7];

// `ms`: what an attempt may take.
function tooLongText(ms) {
  let left = Math.round(ms * 1000);
  let text = '';
  for (const [scale, unit] of [[86_400_000_000, 'd'], [3_600_000_000, 'h'], [60_000_000, 'm'], [1_000_000, 's'], [1000, 'ms'],
    [1, 'us']]) {
    if (left >= scale) text += Math.floor(left / scale) + unit;
    left %= scale;
  }
  return `timed out: an attempt may take ${text} (timeout)`;
}

// How many attempts are worth queueing beyond the slots: see worker/core/prefetch.h.
class Prefetch {
  constructor(slots, most) {
    Object.assign(this, {slots, most, current: 0, duration: null, roundTrip: null, unseen: false});
  }

  ran(ms) {
    this.duration = this.duration === null ? Math.max(ms, 0) : this.duration + (Math.max(ms, 0) - this.duration) / 8;
    this.unseen = true;
  }

  answered(ms) {
    this.roundTrip = this.roundTrip === null ? ms : this.roundTrip + (ms - this.roundTrip) / 8;
  }

  target() {
    if (this.duration === null || this.duration > 50) return 0;
    if (this.duration < 0.02) return this.most;
    return Math.min(this.most, Math.round((this.slots * (this.roundTrip ?? 1)) / this.duration));
  }

  next() {
    if (this.unseen) this.current = Math.min(this.target(), Math.max(this.slots * 2, this.current * 2));
    this.unseen = false;
  }
}

const freshLink = () => ({up: false, helloDue: false, welcome: false, welcomed: false, everWelcome: false,
  drainTold: false, doubted: false, hellos: 0, unanswered: 0, demand: 0, name: '', refusal: '', nameWantedUntil: NEVER,
  helloAt: -NEVER, heard: -NEVER, upSince: -NEVER, credit: 0, toStartTelling: [], toGiveBack: [], toReport: []});

const freshEffects = () => ({starts: [], kills: [], messages: [], leave: false, refusal: null});

class Agent {
  constructor(settings, prefetchMax = 1024) {
    this.settings = settings;
    this.prefetch = new Prefetch(settings.slots, prefetchMax);
    this.links = new Map();
    this.held = new Map();  // by the attempt's key
    this.recent = new Map();
    this.routes = new Map();  // partition -> [link, epoch]
    this.waiting = [];  // ascending
    this.running = 0;
    this.serials = 0;
    this.free = {...settings.resources};
    this.toBeLong = [];
    this.timeouts = new Map();
    this.toRepeat = new Map();
    this.draining = this.left = false;
    this.leaveBy = NEVER;
  }

  // ---------------------------------------------------------------- inputs
  linkUp(now, link) {
    const {everWelcome = false, unanswered = 0} = this.links.get(link) ?? {};
    this.links.set(link, {...freshLink(), up: true, helloDue: true, upSince: now, everWelcome, unanswered});
  }

  linkDown(link) {
    this.link(link).up = false;
  }

  link(link) {
    if (!this.links.has(link)) this.links.set(link, freshLink());
    return this.links.get(link);
  }

  said(now, link, kind, value, out) {
    const speaker = this.link(link);
    speaker.heard = now;
    speaker.doubted = false;
    switch (kind) {
      case 'welcome':
        speaker.welcome = speaker.welcomed = speaker.everWelcome = true;
        speaker.nameWantedUntil = NEVER;
        speaker.name = value.coordinator;
        // fall through
      case 'news': this.told(link, value); break;
      case 'refused': this.refused(now, link, ...value, out); break;
      case 'assign': for (const one of value) this.assigned(now, link, one); break;
      case 'cancel': for (const [attempt, reason] of value) this.cancelled(now, link, attempt, reason, out); break;
      case 'answers': for (const [attempt, answer] of value) this.answered(now, link, attempt, answer, out); break;
      case 'reclaim': for (const attempt of value) this.reclaim(link, attempt); break;
      case 'drain': this.drain(); break;
      case 'say_hello': speaker.helloDue = true; break;
      default:
    }
  }

  // A worker that was killed and started again finds its name in use until its silence is noticed.
  refused(now, link, name, message, out) {
    const l = this.link(link);
    if (name !== 'id_in_use' || l.everWelcome) return this.giveUp(link, name, message, out);
    if (l.nameWantedUntil === NEVER) l.nameWantedUntil = now + NAME_FREE_AFTER;
    Object.assign(l, {refusal: message, helloDue: true, helloAt: now + NAME_TRY_EVERY - HELLO_EVERY});
  }

  giveUp(link, name, message, out) {
    this.link(link).nameWantedUntil = NEVER;
    out.refusal = [name, message];
    for (const [other, l] of this.links) if (l.up && other !== link) out.messages.push([other, messages.bye()]);
  }

  speaksFor(link, attempt) {
    const [owner, epoch] = this.routes.get(attempt.partition) ?? [link, 0];
    return epoch === 0 || owner === link;
  }

  // What is held of partitions that have a new owner is its from now on: reports go there.
  told(link, {owned, members = [], demand}) {
    const speaker = this.link(link);
    if (demand !== undefined) speaker.demand = demand;
    const names = new Set(members.map(([name]) => name));
    for (const other of this.links.values())
      if (members.length > 0 && other.name !== '' && other.name !== speaker.name) other.doubted = !names.has(other.name);
    const moved = new Set();
    for (const [partition, epoch] of owned) {
      const [owner, known] = this.routes.get(partition) ?? [null, 0];
      if (epoch === 0 || epoch < known || (owner === link && known === epoch)) continue;
      this.routes.set(partition, [link, epoch]);
      moved.add(partition);
    }
    if (moved.size === 0) return;
    const ours = [...this.held.values()].filter((h) => moved.has(h.id.partition) && h.link !== link);
    for (const h of ours.sort((a, b) => order(a.id, b.id))) {
      if (h.phase === ENDED) {
        --this.link(h.link).unanswered;
        ++speaker.unanswered;
        speaker.toReport.push(h.id);
      }
      h.link = link;
      h.hellos = 0;
    }
  }

  hold(now, link, attempt, more) {
    const h = {id: attempt, link, hellos: this.link(link).hellos, arrived: now, serial: 0, phase: QUEUED, killed: false,
      unwanted: false, reports: 0, started: 0, reported: 0, restsOn: [], items: 0, spec: null, assignment: null, outcome: null, ...more};
    this.held.set(attempt.key, h);
    return h;
  }

  assigned(now, link, assignment) {
    const {attempt} = assignment;
    const [owner, epoch] = this.routes.get(attempt.partition) ?? [null, 0];
    if (attempt.epoch < epoch) return;
    if (owner !== link || epoch !== attempt.epoch) this.told(link, {owned: [[attempt.partition, attempt.epoch]]});
    const fate = this.recent.get(attempt.key);
    if (fate !== undefined) {
      if (fate === GIVEN_BACK) this.giveBack(link, attempt);
      return;
    }
    const known = this.held.get(attempt.key);
    if (known) {
      if (known.phase === ENDED) this.link(known.link).toReport.push(attempt);
      return;
    }
    if (this.draining || this.held.size >= HELD_MAX || !this.has(assignment.spec)) return this.giveBack(link, attempt);
    const h = this.hold(now, link, attempt, {serial: ++this.serials, spec: assignment.spec, assignment,
      restsOn: assignment.bindings.map((one) => [one.task, one.version]), items: assignment.items?.count ?? 0});
    const before = (a) => a.assignment.priority - assignment.priority || assignment.age - a.assignment.age || h.serial - a.serial;
    let [low, high] = [0, this.waiting.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(this.waiting[middle]) > 0) low = middle + 1;
      else high = middle;
    }
    this.waiting.splice(low, 0, h);
  }

  unqueue(h) {
    this.waiting.splice(this.waiting.indexOf(h), 1);
  }

  // What is queued, or never came, ends here; what runs is killed.
  cancelled(now, link, attempt, reason, out) {
    if (!this.speaksFor(link, attempt)) return;
    let h = this.held.get(attempt.key);
    if (h && h.phase === RUNNING) return this.kill(h, reason, out);
    if (h && h.phase === ENDED) return;
    if (h) {
      this.unqueue(h);
    } else {
      if (this.recent.has(attempt.key) || this.held.size >= HELD_MAX) return;
      h = this.hold(now, link, attempt, {});
    }
    this.end(h, {success: false, reason, message: 'cancelled before it started', output: null, waited: now - h.arrived, ran: 0});
  }

  answered(now, link, attempt, answer, out) {
    const h = this.held.get(attempt.key);
    if (!h || (answer === REFUSED && !this.speaksFor(link, attempt))) return;
    if (h.phase === ENDED) {
      if (h.reports === 1) this.prefetch.answered(now - h.reported);
      this.forget(h, ANSWERED);
    } else if (answer === REFUSED && h.phase === QUEUED) {
      this.forget(h, ANSWERED);
    } else if (answer === REFUSED) {
      h.unwanted = true;
      this.kill(h, REASON_CANCELLED, out);
    }
  }

  reclaim(link, attempt) {
    if (!this.speaksFor(link, attempt)) return;
    const h = this.held.get(attempt.key);
    if (h) {
      if (h.phase === RUNNING) this.link(link).toStartTelling.push(attempt);
      if (h.phase !== QUEUED) return;
      this.forget(h, GIVEN_BACK);
    } else if (this.recent.get(attempt.key) === ANSWERED) {
      return;
    }
    this.giveBack(link, attempt);
  }

  // ---------------------------------------------------------------- what tasks do
  // Exactly once per start. `slotFree`: false while something of the task still runs; slotFreed() follows.
  ended(now, attempt, outcome, slotFree = true) {
    const h = this.held.get(attempt.key);
    if (!h || h.phase !== RUNNING) return;
    if (slotFree) this.slotFreed(h.spec);
    this.timeouts.delete(attempt.key);
    if (!h.killed) this.prefetch.ran(outcome.ran || now - h.started);
    if (h.unwanted) return this.forget(h, ANSWERED);
    if (h.tookTooLong && outcome.reason === REASON_TIMEOUT) outcome.message = tooLongText(h.spec.timeout);
    outcome.waited = h.started - h.arrived;
    this.end(h, outcome);
  }

  slotFreed(spec) {
    --this.running;
    for (const one of spec.resources) this.free[one.name] += one.amount;
  }

  end(h, outcome) {
    Object.assign(h, {phase: ENDED, outcome, assignment: null});
    const l = this.link(h.link);
    ++l.unanswered;
    l.toReport.push(h.id);
  }

  forget(h, fate) {
    if (h.phase === QUEUED) this.unqueue(h);
    if (h.phase === ENDED) --this.link(h.link).unanswered;
    this.remember(h.id, fate);
    this.held.delete(h.id.key);
    this.toRepeat.delete(h.id.key);
  }

  remember(attempt, fate) {
    this.recent.set(attempt.key, fate);
    if (this.recent.size > RECENT_MAX) this.recent.delete(this.recent.keys().next().value);
  }

  giveBack(link, attempt) {
    this.remember(attempt, GIVEN_BACK);
    this.link(link).toGiveBack.push(attempt);
  }

  kill(h, reason, out) {
    if (h.killed) return;
    h.killed = true;
    out.kills.push([h.id, reason]);
  }

  // Where what a running task says goes; undefined: nowhere.
  linkOf(attempt) {
    const h = this.held.get(attempt.key);
    return h && !h.unwanted && this.link(h.link).up ? h.link : undefined;
  }

  // ---------------------------------------------------------------- starting, draining, time
  has(spec) {
    return spec.resources.every((one) => one.amount <= (this.settings.resources[one.name] ?? 0));
  }

  start(now, out) {
    const wanted = new Set();
    for (let kept = 0; this.running < this.settings.slots && kept < this.waiting.length;) {
      const h = this.waiting[kept];
      const lacks = h.spec.resources.filter((one) => one.amount > this.free[one.name]);
      if (lacks.length > 0 || h.spec.resources.some((one) => wanted.has(one.name))) {
        for (const one of lacks) wanted.add(one.name);  // who waits for a resource lets none pass
        ++kept;
        continue;
      }
      this.waiting.splice(kept, 1);
      for (const one of h.spec.resources) this.free[one.name] -= one.amount;
      ++this.running;
      h.phase = RUNNING;
      h.started = now;
      // Of items each has its own, which is the worker's to keep.
      if (h.spec.timeout > 0 && h.items === 0) this.timeouts.set(h.id.key, now + h.spec.timeout);
      this.toBeLong.push([now + STARTED_AFTER, h.id]);
      out.starts.push([h.assignment, h.link]);
    }
  }

  drain() {
    if (this.draining) return;
    this.draining = true;
    for (const h of [...this.waiting]) {
      this.forget(h, GIVEN_BACK);
      this.giveBack(h.link, h.id);
    }
  }

  killAll(now, out) {
    this.drain();
    this.leaveBy = Math.min(this.leaveBy, now + LEAVE_AFTER_KILL);
    for (const h of this.held.values()) if (h.phase === RUNNING) this.kill(h, REASON_LOST, out);
  }

  tick(now, out) {
    while (this.toBeLong.length > 0 && this.toBeLong[0][0] <= now) {
      const h = this.held.get(this.toBeLong.shift()[1].key);
      if (!h || h.phase !== RUNNING) continue;
      this.prefetch.ran(now - h.started);
      this.link(h.link).toStartTelling.push(h.id);
    }
    for (const [key, due] of [...this.toRepeat]) {
      if (due > now) continue;
      this.toRepeat.delete(key);
      const h = this.held.get(key);
      this.link(h.link).toReport.push(h.id);
    }
    for (const [key, due] of [...this.timeouts]) {
      if (due > now) continue;
      this.timeouts.delete(key);
      this.held.get(key).tookTooLong = !this.held.get(key).killed;
      this.kill(this.held.get(key), REASON_TIMEOUT, out);
    }
    for (const [link, l] of this.links) {
      if (l.up && now >= silenceEnds(l)) l.helloDue = true;
      if (now >= l.nameWantedUntil) this.giveUp(link, 'id_in_use', l.refusal, out);
    }
  }

  nextDeadline() {
    if (this.left) return NEVER;
    let due = Math.min(this.leaveBy, this.toBeLong[0]?.[0] ?? NEVER);
    for (const one of this.toRepeat.values()) due = Math.min(due, one);
    for (const one of this.timeouts.values()) due = Math.min(due, one);
    for (const l of this.links.values()) {
      due = Math.min(due, l.nameWantedUntil);
      if (l.up) due = Math.min(due, l.helloDue ? l.helloAt + HELLO_EVERY : silenceEnds(l));
    }
    return due;
  }

  // ---------------------------------------------------------------- what is said at the end of a round
  flush(now, out) {
    this.start(now, out);
    if (this.left) return;
    this.prefetch.next();
    let weights = 0;
    for (const l of this.links.values()) if (counts(now, l)) weights += l.demand + 1;
    for (const [link, l] of this.links) {
      if (!l.up) {  // the next Hello tells all there is to tell
        l.toStartTelling = [];
        l.toReport = [];
        continue;
      }
      if (l.helloDue && now >= l.helloAt + HELLO_EVERY) this.sayHello(now, link, l, out);
      if (this.draining && !l.drainTold) {
        l.drainTold = true;
        out.messages.push([link, messages.draining()]);
      }
      if (l.toGiveBack.length > 0) out.messages.push([link, messages.reclaimed(l.toGiveBack)]);
      l.toGiveBack = [];
      const begun = l.toStartTelling.filter((one) => this.held.get(one.key)?.phase === RUNNING);
      if (begun.length > 0) out.messages.push([link, messages.started(begun)]);
      l.toStartTelling = [];
      this.sayReports(now, link, l, out);
      if (!this.draining) this.sayCredit(now, link, l, weights, out);
    }
    if (!this.draining || (this.held.size > 0 && now < this.leaveBy)) return;
    this.left = out.leave = true;
    for (const [link, l] of this.links) if (l.up) out.messages.push([link, messages.bye()]);
  }

  sayHello(now, link, l, out) {
    const all = [...this.held.values()].filter((h) => !h.unwanted).sort((a, b) => order(a.id, b.id));
    l.toReport = all.filter((h) => h.phase === ENDED && h.link === link).map((h) => h.id);
    const held = all.map((h) => ({attempt: h.id, started: h.phase !== QUEUED, restsOn: h.restsOn, items: h.items}));
    const epochs = [...this.routes].map(([partition, [, epoch]]) => [partition, epoch]).sort((a, b) => a[0] - b[0]);
    Object.assign(l, {helloDue: false, welcome: false, helloAt: now, credit: 0, hellos: l.hellos + 1});
    out.messages.push([link, messages.hello(this.settings, held, this.draining, epochs), true]);
  }

  sayReports(now, link, l, out) {
    let [batch, size] = [[], 0];
    const close = () => {
      if (batch.length > 0) out.messages.push([link, messages.reports(batch)]);
      [batch, size] = [[], 0];
    };
    for (const attempt of new Map(l.toReport.map((one) => [one.key, one])).values()) {
      const h = this.held.get(attempt.key);
      if (!h || h.phase !== ENDED) continue;
      const {output, message, traceback} = h.outcome;
      const bytes = 64 + (output?.length ?? 0) + message.length + (traceback?.length ?? 0) +
        320 * (h.outcome.artifacts?.length ?? 0);
      if (size + bytes > REPORT_BYTES) close();
      if (++h.reports === 1) h.reported = now;
      const patience = bytes > REPORT_LARGE ? 2 ** Math.min(h.reports + 1, 5) : 1;
      this.toRepeat.set(attempt.key, now + REPORT_AGAIN * patience);
      batch.push({attempt, outcome: h.outcome, restsOn: h.hellos === this.link(h.link).hellos ? [] : h.restsOn});
      size += bytes;
    }
    l.toReport = [];
    close();
  }

  // All there is, divided by what each coordinator has to run; at least one each.
  sayCredit(now, link, l, weights, out) {
    if (l.hellos === 0) return;
    const all = this.settings.slots + this.prefetch.current;
    const counted = counts(now, l);
    const weight = counted ? l.demand + 1 : 1;
    const cpu = !counted && weights > 0 ? 1
      : Math.min(Math.max(Math.floor((all * weight) / Math.max(weights, weight)), 1), all);
    if (l.credit > 0 && Math.abs(l.credit - cpu) * 4 <= l.credit) return;
    l.credit = cpu;
    out.messages.push([link, messages.credit(cpu)]);
  }
}

function silenceEnds(l) {
  const patience = !l.welcome || l.unanswered > 0 ? SILENT_AFTER : RECONCILE_AFTER;
  return Math.max(l.helloAt, l.heard) + patience;
}

// A coordinator that does not answer is no reason to keep slots from the others.
function counts(now, l) {
  if (!l.up || l.doubted) return false;
  return now < (l.welcomed ? l.heard + RECONCILE_AFTER + SILENT_AFTER : l.upSince + SILENT_AFTER);
}

module.exports = {Agent, NEVER, freshEffects, tooLongText};
