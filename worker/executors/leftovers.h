// Leftovers: processes that have left the group of their task, by setsid() or a daemon's two forks, end with it.
//
// The first process of a task is the one that its orphans come to; when it ends they come to this process, which after
// adopt_leftovers() is nobody's but theirs: a child that was not spawned by spawn(), that was not there before and is
// not of our own session is a leftover, and is killed. Namespaces do the same by themselves, and the zygote for python.
// Threads: the Reactor's. Fails: never.
#pragma once

namespace millrace {

class Reactor;

void adopt_leftovers();
// Kills them, and those that come to us by that, until there are none. Cheap where there are none.
void sweep_leftovers(Reactor& reactor);
void end_leftovers();  // likewise, at once; waits a moment for it

}  // namespace millrace
