"""Rows 26, 27: a Redis under three sentinels fails over; and a Redis Cluster of three masters."""
import subprocess
import time

from harness.checker import Memory
from harness.cluster import Program, RedisServer, Skip, free_port, until
from harness.matrix import row
from harness.proxy import Proxy
from harness.resp import Redis, RedisError

SENTINEL = """port {port}
dir {dir}
sentinel monitor millrace 127.0.0.1 {primary} 2
sentinel down-after-milliseconds millrace 1000
sentinel failover-timeout millrace 5000
sentinel parallel-syncs millrace 1
"""


class Sentinels:
    """A primary behind a proxy, a replica, three sentinels. Everybody finds the primary at the proxy's address, so that
    its stream to the replica can be held up while the rest goes on."""

    def __init__(self, play, mode):
        self.play, self.mode = play, mode
        self.port, self.replica_port = free_port(), free_port()
        self.proxy = Proxy(self.port, zmtp=False, seed=play.rng.randrange(1 << 30))
        self.sentinel_ports = [free_port() for _ in range(3)]
        self.cluster = play.cluster(coordinators=2, redis_port=self.port,
                                    redis_options=["--replica-announce-port", self.proxy.port])
        if not self.cluster.knows("sentinel://"):
            raise Skip("this build does not know sentinel://")
        self.cluster.redis_url = "sentinel://" + ",".join(f"127.0.0.1:{p}" for p in self.sentinel_ports) + "/millrace"
        if mode:
            self.cluster.coordinator_options += ["--durability", mode]
        self.cluster.start_store = self.start

    def start(self):
        cluster = self.cluster
        cluster.redis.start()
        self.primary = cluster.redis
        self.replica = RedisServer(cluster.scratch, ["--appendfsync", "always", "--replicaof", "127.0.0.1", self.proxy.port],
                                   self.replica_port, name="replica")
        self.replica.start()
        cluster.more.append(self.replica.program)
        until(15, lambda: b"master_link_status:up" in self.replica.client("INFO", "replication"), "the replica follows")
        for i, port in enumerate(self.sentinel_ports):
            directory = cluster.scratch / f"sentinel-{i}"
            directory.mkdir()
            (directory / "conf").write_text(SENTINEL.format(port=port, dir=directory, primary=self.proxy.port))
            cluster.more.append(Program(["redis-server", directory / "conf", "--sentinel"], directory / "log"))
        until(20, self.sentinels_know, "the sentinels know each other and the replica", every=0.2)

    def sentinels_know(self):
        try:
            for port in self.sentinel_ports:
                flat = Redis(("127.0.0.1", port), 2)("SENTINEL", "MASTER", "millrace")
                told = dict(zip(flat[::2], flat[1::2]))
                if told[b"num-slaves"] != b"1" or told[b"num-other-sentinels"] != b"2":
                    return False
            return True
        except (OSError, RedisError):
            return False

    def master_port(self):
        try:
            return int(Redis(("127.0.0.1", self.sentinel_ports[0]), 2)("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "millrace")[1])
        except (OSError, RedisError, TypeError):
            return 0

    def fail_over(self):
        """Kills the primary; returns the seconds until a submission is acknowledged again."""
        cluster = self.cluster
        file = cluster.file("probe.yaml", "nodes: {n: {executor: noop}}\n")
        cluster.redis.kill()
        begun = time.monotonic()
        self.play.fault()
        probe = cluster.start_cli(["submit", file, "-o", "name", "--timeout", "60s"], log=cluster.scratch / "probe")
        until(30, lambda: self.master_port() == self.replica_port, "the replica is the primary")
        cluster.redis = self.replica
        self.primary.start(check=False)  # comes back; the sentinels make it a replica
        code = probe.wait(60)
        took = time.monotonic() - begun
        self.play.expect(code == 0, "I6", f"a submission during the failover: {code} {probe.err()[-300:]}")
        return took

    def __enter__(self):
        self.cluster.__enter__()
        self.cluster.await_balance()
        return self, self.cluster

    def __exit__(self, *error):
        self.cluster.more.append(self.primary.program)
        self.cluster.__exit__(*error)
        self.proxy.close()


@row("26", "Sentinel failover, replica in sync")
def in_sync(play):
    with Sentinels(play, None) as (store, cluster):
        memory = Memory()
        work = play.workload(cluster, 20 if play.short else 60, pace=0.15).start()
        until(30, lambda: work.submitted() > 5, "some runs are submitted")
        memory.look(cluster.redis.client, 16)
        took = store.fail_over()
        play.note(f"acknowledged again {took:.1f} s after the primary was killed")
        play.expect(took < 5 + 1, "I6", f"the pause was {took:.1f} s")  # a second of it is the sentinels' patience
        play.play_out(cluster, work, memory=memory)


@row("27", "Sentinel failover, replica behind")
def behind(play):
    """What the replica does not have comes back from the owners, or its loss is told. Nothing completes twice."""
    with Sentinels(play, None) as (store, cluster):
        work = play.workload(cluster, 20 if play.short else 60, pace=0.15).start()
        until(30, lambda: work.submitted() > 4, "some runs are submitted")
        store.proxy.freeze_replicas()
        time.sleep(play.rng.uniform(0.5, 1.5))
        took = store.fail_over()
        store.proxy.heal()
        play.note(f"acknowledged again {took:.1f} s after the primary was killed")
        play.play_out(cluster, work)
        said = "".join(c.err() for c in cluster.coordinators)
        play.expect("the store had lost commits" in said, "I4", "a store that lost a suffix was not noticed")
        play.expect("cannot be brought back" not in said, "I4", "owners that live could not put back what was lost")


@row("27a", "Redis Cluster of three masters: a master is stopped, killed, restarted; a slot moves")
def cluster_of_masters(play):
    ports = [free_port() for _ in range(3)]
    cluster = play.cluster(coordinators=2)
    if not cluster.knows("cluster://"):
        raise Skip("this build does not know cluster://")
    servers = []

    def start():
        cluster.redis = None
        for i, port in enumerate(ports):
            server = RedisServer(cluster.scratch, ["--appendfsync", "always", "--cluster-enabled", "yes",
                                                   "--cluster-port", free_port(), "--cluster-node-timeout", "2000",
                                                   "--cluster-require-full-coverage", "no"], port, name=f"master-{i}")
            server.start()
            servers.append(server)
            cluster.more.append(server.program)
        made = subprocess.run(["redis-cli", "--cluster", "create", *[f"127.0.0.1:{p}" for p in ports], "--cluster-yes"],
                              capture_output=True, text=True, check=False)
        if made.returncode:
            raise Skip("redis-cli --cluster create: " + (made.stdout + made.stderr)[-300:])
        until(20, lambda: all(b"cluster_state:ok" in s.client("CLUSTER", "INFO") for s in servers), "the cluster is whole")
        cluster.redis = Slots(servers)

    cluster.start_store = start
    cluster.redis_url = "cluster://" + ",".join(f"127.0.0.1:{p}" for p in ports)
    with cluster:
        cluster.await_balance()
        work = play.workload(cluster, 20 if play.short else 60, pace=0.1).start()
        for i in range(2 if play.short else 6):
            server = servers[i % 3]
            time.sleep(play.rng.uniform(0.2, 0.8))
            play.fault()
            if i % 2:
                server.program.stop()
                time.sleep(1.0)
                server.program.go_on()
            else:
                server.kill()
                time.sleep(0.3)
                server.start()
                cluster.more.append(server.program)
        play.play_out(cluster, work)


class Slots:
    """Stands for `RedisServer` where keys lie on several."""

    def __init__(self, servers):
        self.servers, self.program = servers, None

    def client(self, *words):
        last = None
        for server in self.servers:
            try:
                return server.client(*words)
            except RedisError as moved:
                if not str(moved).startswith("MOVED"):
                    raise
                last = moved
        raise last
