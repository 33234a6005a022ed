"""Directory: which coordinators a worker keeps a link to. It begins with the addresses it was given and learns the
others from what coordinators say. A port of worker/core/directory.cc."""

NEWS_BELIEVED_FOR = 13.0
NOBODY_ANSWERS = 5.0
LINKS_KEPT = 1024


class _Link:
    def __init__(self, endpoint, heard):
        self.endpoint, self.heard = endpoint, heard
        self.name, self.spoke, self.members = "", False, []


class Directory:
    """Changes are (link, endpoint, open)."""

    def __init__(self, given):
        self.given, self.links = given, {}

    def begin(self, now):
        out = []
        for endpoint in self.given:
            self.open(now, endpoint, out)
        return out

    def heard(self, now, link, kind, value):
        out, l = [], self.links.get(link)
        if l is None:
            return out
        l.heard = now
        if kind == "welcome":
            l.name = value["coordinator"]
        if kind in ("welcome", "news") and value["members"]:
            l.spoke, l.members = True, value["members"]
            self.update(now, out)
        return out

    def pass_(self, now):
        """Nobody answers any more: perhaps they all have new addresses, which those that were given lead to."""
        if any(now < l.heard + NOBODY_ANSWERS for l in self.links.values()):
            return []
        return self.begin(now)

    def open(self, now, endpoint, out):
        if not endpoint or any(l.endpoint == endpoint for l in self.links.values()) or len(self.links) >= LINKS_KEPT:
            return
        free = next(i for i in range(LINKS_KEPT) if i not in self.links)
        self.links[free] = _Link(endpoint, now)
        out.append((free, endpoint, True))

    def close(self, link, out):
        out.append((link, self.links.pop(link).endpoint, False))

    @staticmethod
    def in_use(now, l):
        return l.spoke and now < l.heard + NEWS_BELIEVED_FOR

    def update(self, now, out):
        wanted = [endpoint for l in self.links.values() if self.in_use(now, l) for _, endpoint in l.members]
        for i, l in sorted(self.links.items()):
            others = [o for j, o in self.links.items() if j != i and self.in_use(now, o)]
            named = any(endpoint == l.endpoint or (l.name and name == l.name)
                        for o in others for name, endpoint in o.members)
            if not others or named or self.in_use(now, l) or (l.endpoint in self.given and not l.spoke):
                continue
            self.close(i, out)
            wanted = [endpoint for endpoint in wanted if endpoint != l.endpoint]
        for endpoint in wanted:
            self.open(now, endpoint, out)
        for i, l in sorted(self.links.items()):  # of two links to one coordinator its own address stays
            own = next((endpoint for name, endpoint in l.members if l.name and name == l.name), l.endpoint)
            if own != l.endpoint and any(o.endpoint == own and o.name == l.name for o in self.links.values()):
                self.close(i, out)
