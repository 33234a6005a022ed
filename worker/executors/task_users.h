// TaskUsers: who tasks run as, and the directory that each has to itself then.
//
// Where the worker is root it gives each running task a user of its own out of a range, which it shares with other
// workers of the machine (one that has a single user gives all tasks that one): a task then has no power over the
// worker, nor over another task, its files and its processes, and limits that the kernel counts by user hold for it
// alone. Elsewhere tasks run as the worker does. Promises: a directory is empty when it is given out. Threads: the
// Reactor's. Fails: never; where no directory can be made, tasks share the work directory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "worker/executors/spawn.h"

namespace millrace {

// Users that no distribution gives out (systemd's table of ids leaves them unused).
constexpr uid_t kTaskUserFirst = 60706;
constexpr std::uint32_t kTaskUserCount = 478;

struct UserRange {
  uid_t first = 0;
  std::uint32_t count = 0;  // 0: as the worker
  gid_t gid = 0;            // 0: the user's number
};
// "auto" (the range above where we are root, may become another user and it is mapped here, else none), "none", NAME,
// UID or UID-UID.
// Fails: kInvalid (no such user, root), kRefused (we are not root).
Result<UserRange> parse_task_user(const std::string& text);

struct TaskUser {
  uid_t uid = 0;
  gid_t gid = 0;
  bool changes = false;  // false: the worker's own
  bool alone = false;    // no other task has it
};

class TaskUsers;

// A place for one task: who it is, and where. Given back with its end.
class TaskSeat {
 public:
  TaskSeat() = default;
  TaskSeat(TaskSeat&& other) noexcept { *this = std::move(other); }
  TaskSeat& operator=(TaskSeat&& other) noexcept;
  ~TaskSeat() { leave(); }
  const TaskUser& user() const { return user_; }
  const std::string& directory() const { return directory_; }
  int place() const { return place_; }  // the directory's name, a number; -1: it is the work directory itself

 private:
  friend class TaskUsers;
  void leave();
  TaskUsers* owner_ = nullptr;
  int number_ = -1, place_ = -1;
  TaskUser user_;
  std::string directory_;
};

class TaskUsers {
 public:
  // `own_directories`: whether the work directory is ours to make some in.
  TaskUsers(UserRange range, std::string work_dir, bool own_directories);
  TaskUsers(const TaskUsers&) = delete;
  TaskUsers& operator=(const TaskUsers&) = delete;

  // `own`: a directory of its own even where tasks have no users of their own.
  TaskSeat take(bool own);
  // Of what tasks share: the interpreters of isolation none. Its directory is not emptied.
  const TaskUser& shared() const { return shared_; }
  const std::string& shared_directory() const { return shared_directory_; }
  const std::string& work_dir() const { return work_dir_; }
  bool change() const { return range_.count > 0; }
  // Whether a limit by user is one by task.
  bool each_alone() const { return range_.count > 1; }

 private:
  friend class TaskSeat;
  struct Place {
    TaskUser user;
    Fd lock;  // of the user: other workers of this machine leave it to us
    bool taken = false, made = false;
  };
  void give_back(int number);
  Place new_place();
  bool make_directory(const std::string& path, const TaskUser& user) const;

  UserRange range_;
  std::string work_dir_;
  bool own_directories_;
  TaskUser shared_;
  std::string shared_directory_;
  std::vector<Place> places_;  // by number
  uid_t next_ = 0;             // user to try
};

// Whether the user gets at a file or into a directory; `mode` is that of access().
bool can_access(const TaskUser& user, const std::string& path, int mode);
// The first file that `program` names (see find_program()) which the user may run; empty: none.
std::string find_program_for(const TaskUser& user, std::string_view program, std::string_view path);

// Ends every process of a user.
void kill_user(uid_t uid);
// Likewise, unless a living worker of this machine has it: what a worker that was killed has left behind.
void kill_abandoned_user(uid_t uid);

}  // namespace millrace
