'use strict';
// Directory: which coordinators a worker keeps a link to. It begins with the addresses it was given and learns the others
// from what coordinators say. A port of worker/core/directory.cc. Changes are [link, endpoint, open].

const NEWS_BELIEVED_FOR = 13_000;
const NOBODY_ANSWERS = 5000;
const LINKS_KEPT = 1024;

const inUse = (now, l) => l.spoke && now < l.heard + NEWS_BELIEVED_FOR;

class Directory {
  constructor(given) {
    this.given = given;
    this.links = new Map();
  }

  begin(now) {
    const out = [];
    for (const endpoint of this.given) this.open(now, endpoint, out);
    return out;
  }

  heard(now, link, kind, value) {
    const out = [];
    const l = this.links.get(link);
    if (!l) return out;
    l.heard = now;
    if (kind === 'welcome') l.name = value.coordinator;
    if ((kind !== 'welcome' && kind !== 'news') || value.members.length === 0) return out;
    l.spoke = true;
    l.members = value.members;
    this.update(now, out);
    return out;
  }

  // Nobody answers any more: perhaps they all have new addresses, which those that were given lead to.
  pass(now) {
    return [...this.links.values()].some((l) => now < l.heard + NOBODY_ANSWERS) ? [] : this.begin(now);
  }

  open(now, endpoint, out) {
    const known = [...this.links.values()].some((l) => l.endpoint === endpoint);
    if (endpoint === '' || known || this.links.size >= LINKS_KEPT) return;
    let free = 0;
    while (this.links.has(free)) ++free;
    this.links.set(free, {endpoint, heard: now, name: '', spoke: false, members: []});
    out.push([free, endpoint, true]);
  }

  close(link, out) {
    out.push([link, this.links.get(link).endpoint, false]);
    this.links.delete(link);
  }

  update(now, out) {
    let wanted = [...this.links.values()].filter((l) => inUse(now, l)).flatMap((l) => l.members.map(([, one]) => one));
    for (const [i, l] of [...this.links]) {
      const others = [...this.links].filter(([j, o]) => j !== i && inUse(now, o)).map(([, o]) => o);
      const named = others.some((o) => o.members.some(([name, one]) => one === l.endpoint || (l.name !== '' && name === l.name)));
      if (others.length === 0 || named || inUse(now, l) || (this.given.includes(l.endpoint) && !l.spoke)) continue;
      this.close(i, out);
      wanted = wanted.filter((one) => one !== l.endpoint);
    }
    for (const endpoint of wanted) this.open(now, endpoint, out);
    for (const [i, l] of [...this.links]) {  // of two links to one coordinator its own address stays
      const own = l.members.find(([name]) => l.name !== '' && name === l.name)?.[1] ?? l.endpoint;
      if (own !== l.endpoint && [...this.links.values()].some((o) => o.endpoint === own && o.name === l.name)) this.close(i, out);
    }
  }
}

module.exports = {Directory};
