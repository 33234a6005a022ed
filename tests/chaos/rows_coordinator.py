"""Rows 1 to 9: coordinators that are killed at bad moments, stand still, or do not own what they think they do."""
from harness.checker import Memory
from harness.cluster import until
from harness.matrix import row


def killed_at(play, point):
    """Killed at a point, started again, killed again; alone, or beside one that takes over."""
    several = play.rng.random() < 0.5
    first = f"{point}:kill@{play.rng.randint(1, 4)}"
    with play.cluster(coordinators=2 if several else 1, fault=first) as cluster:
        cluster.await_balance()
        memory, works = Memory(), []
        for again in range(1 if play.short else 3):
            works.append(play.workload(cluster, 16, pace=0.02).start())
            until(30, lambda: not cluster.coordinators[0].running(), f"the coordinator dies at {point}")
            play.fault()
            memory.look(cluster.redis.client, 16)
            last = again == (0 if play.short else 2)
            cluster.start_coordinator(0, fault="" if last else f"{point}:kill@{play.rng.randint(1, 6)}")
            if not last:
                cluster.await_balance(30)
        play.play_out(cluster, *works, memory=memory)


@row("1", "coordinator killed before an accept is durable")
def before_accept(play):
    killed_at(play, "accept_before_commit")


@row("2", "coordinator killed after an accept, before the reply")
def after_accept(play):
    killed_at(play, "accept_before_reply")


@row("3", "coordinator killed after a lease, before the send")
def before_send(play):
    killed_at(play, "lease_before_send")


@row("4", "coordinator killed after the send, before the worker's ack")
def after_send(play):
    killed_at(play, "send_before_ack")


@row("5", "coordinator killed after a result arrives, before its commit")
def before_commit(play):
    killed_at(play, "result_before_commit")


@row("6", "coordinator killed after the commit, before successors")
def before_successors(play):
    killed_at(play, "commit_before_successors")


@row("7", "coordinator killed after the commit, before the event")
def before_event(play):
    killed_at(play, "commit_before_event")


@row("8", "coordinator stopped past its lease, then continued")
def stopped(play):
    point = play.rng.choice(["accept_before_commit", "result_before_commit", "commit_before_successors",
                             "lease_before_send", "send_before_ack"])
    with play.cluster(coordinators=2, fault=f"{point}:stop@{play.rng.randint(1, 4)}") as cluster:
        cluster.await_balance()
        memory = Memory()
        work = play.workload(cluster, 16 if play.short else 50, pace=0.02, at=cluster.address(1)).start()
        until(30, cluster.coordinators[0].is_stopped, f"the coordinator stops itself at {point}")
        for pause in [5.0] if play.short else [5.0, 3.0, 8.0]:
            cluster.coordinators[0].stop()
            memory.look(cluster.redis.client, 16)
            until(pause + 15, lambda: all(
                cluster.redis.client("HGET", f"mr:{{p{p}}}:owner", "owner") == b"coordinator-2" for p in range(16)),
                "the other takes all partitions")
            cluster.coordinators[0].go_on()
            play.fault()
            cluster.await_balance(30)
        play.play_out(cluster, work, memory=memory)


@row("9", "two coordinators believe they own a partition: the owner record is deleted")
def record_deleted(play):
    with play.cluster(coordinators=2) as cluster:
        cluster.await_balance()
        work = play.workload(cluster, 16 if play.short else 50, pace=0.03).start()
        for _ in range(1 if play.short else 4):
            until(30, lambda: work.submitted() >= 6, "some runs are submitted")
            for p in range(0, 16, 2):
                cluster.redis.client("DEL", f"mr:{{p{p}}}:owner")
            play.fault()
            cluster.await_balance(30)
        play.play_out(cluster, work)
