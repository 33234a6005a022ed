"""Rows 12, 13 and 30 to 34: messages that come twice, late, in another order or not at all; links that are cut."""
import time

from harness.checker import Memory
from harness.cluster import free_port, until
from harness.matrix import elsewhere, row
from harness.proxy import Proxy


class Between:
    """A cluster whose every link goes through proxies: workers, clients and coordinators to each coordinator, events,
    and coordinators to Redis."""

    def __init__(self, play, coordinators=2, redis=False, **options):
        self.play = play
        ports = [(free_port(), free_port()) for _ in range(coordinators)]
        seed = play.rng.randrange(1 << 30)
        self.fronts = [Proxy(port, seed=seed + i) for i, (port, _) in enumerate(ports)]
        self.events = [Proxy(port, seed=seed + 10 + i) for i, (_, port) in enumerate(ports)]
        via = {"advertise": [f"tcp://127.0.0.1:{p.port}" for p in self.fronts],
               "events": [f"tcp://127.0.0.1:{p.port}" for p in self.events]}
        redis_port, self.stores = None, []
        if redis:
            redis_port = free_port()
            self.stores = [Proxy(redis_port, zmtp=False, seed=seed + 20)]
            via["redis"] = f"redis://127.0.0.1:{self.stores[0].port}/0"
        self.cluster = play.cluster(coordinators=coordinators, ports=ports, via=via, redis_port=redis_port, **options)
        self.proxies = self.fronts + self.events + self.stores

    def __enter__(self):
        return self, self.cluster.__enter__()

    def __exit__(self, *error):
        for proxy in self.proxies:
            self.play.fault(proxy.done)
            proxy.close()
        self.cluster.__exit__(*error)

    def heal(self):
        for proxy in self.proxies:
            proxy.heal()


def tampered(play, **knobs):
    with Between(play) as (between, cluster):
        cluster.await_balance()
        memory = Memory()
        for proxy in between.fronts + between.events:
            proxy.both(**knobs)
        work = play.workload(cluster, 20 if play.short else 60, pace=0.02).start()
        work.join(180)
        memory.look(cluster.redis.client, 16)
        if not play.short:
            time.sleep(5)
        between.heal()
        play.play_out(cluster, work, memory=memory)


@row("12", "messages duplicated")
def duplicated(play):
    tampered(play, duplicate=0.4)


@row("13", "messages reordered and delayed")
def reordered(play):
    tampered(play, overtake=0.25, delay=(0.0, 0.03))


@row("13a", "messages lost, repeated, late and out of order at once")
def everything(play):
    tampered(play, drop=0.1, duplicate=0.1, overtake=0.15, delay=(0.0, 0.02))


@row("30", "partition between coordinator and workers, both ways, ten rounds")
def cut_off(play):
    with Between(play) as (between, cluster):
        cluster.await_balance()
        memory = Memory()
        work = play.workload(cluster, 30 if play.short else 80, pace=0.1).start()
        for _ in range(3 if play.short else 10):
            front = play.rng.choice(between.fronts)
            front.freeze()
            time.sleep(play.rng.choice([0.3, 1.0, 2.5] if play.short else [0.5, 2.0, 6.5]))
            front.heal()
            memory.look(cluster.redis.client, 16)
            time.sleep(0.3)
        play.play_out(cluster, work, memory=memory)


@row("31", "partition one way: what the coordinator says is lost, or what it should hear")
def one_way(play):
    with Between(play) as (between, cluster):
        cluster.await_balance()
        work = play.workload(cluster, 20 if play.short else 60, pace=0.1).start()
        for i in range(2 if play.short else 8):
            front = play.rng.choice(between.fronts)
            front.freeze(forth=i % 2 == 0, back=i % 2 == 1)
            time.sleep(play.rng.choice([1.0, 2.5] if play.short else [1.0, 6.5]))
            front.heal()
            time.sleep(0.3)
        play.play_out(cluster, work)


@row("32", "partition between coordinators and Redis, cut and healed in turn")
def store_cut(play):
    with Between(play, redis=True) as (between, cluster):
        cluster.await_balance()
        memory = Memory()
        work = play.workload(cluster, 20 if play.short else 60, pace=0.1).start()
        store = between.stores[0]
        for i in range(3 if play.short else 10):
            if i % 3 == 0:
                store.freeze()
            elif i % 3 == 1:
                store.cut()
            else:
                store.freeze(forth=False)
            time.sleep(play.rng.choice([0.2, 1.0, 2.5] if play.short else [0.2, 1.0, 3.0, 5.0]))
            store.heal()
            memory.look(cluster.redis.client, 16)
            time.sleep(0.4)
        play.play_out(cluster, work, memory=memory)


@row("33", "connections reset again and again, one message in ten lost")
def resets(play):
    with Between(play) as (between, cluster):
        cluster.await_balance()
        work = play.workload(cluster, 20 if play.short else 60, pace=0.1).start()
        for front in between.fronts:
            front.both(drop=0.1)
        for _ in range(8 if play.short else 40):
            play.rng.choice(between.fronts + between.events).reset_all()
            time.sleep(play.rng.uniform(0.1, 0.5))
        between.heal()
        play.play_out(cluster, work)


BULK = """
name: bulk
nodes:
  a: {executor: shell, script: "head -c 900000 /dev/zero | tr '\\\\0' x", retry: {max_losses: 9}}
  b: {executor: shell, stdin: "{{ nodes.a.stdout }}", script: "wc -c", retry: {max_losses: 9}}
"""


@row("34", "1 Mbit: heartbeats are not starved by bulk")
def narrow(play):
    """Each connection alone is that slow, so what is big may take long; nobody may be given up for it."""
    with Between(play, coordinators=1) as (between, cluster):
        between.fronts[0].both(bytes_per_second=125_000)
        play.fault()
        file = cluster.file("bulk.yaml", BULK)
        runs = [cluster.json("submit", file)[1]["run"] for _ in range(2 if play.short else 6)]
        work = play.workload(cluster, 8, kinds={"chain", "loose"}, pace=0.2).start()
        for run in runs:
            code, answer = cluster.json("wait", run, "--timeout", "120s", seconds=140)
            play.expect(code == 0, "I6", f"run {run} over a narrow link: {code} {str(answer)[:200]}")
        lost = [line for line in cluster.coordinators[0].err().splitlines() if "is lost" in line]
        play.expect(not lost, "I6", f"a worker behind a narrow link was given up: {lost[:2]}")
        between.heal()
        play.play_out(cluster, work)


elsewhere("30a", "network namespaces as hosts, links cut and healed ten times", "tests/multinode")
