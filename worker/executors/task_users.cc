#include "worker/executors/task_users.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace millrace {
namespace {

// Whether the ids of a range mean anything here: a container may know few.
bool is_mapped(uid_t first, std::uint32_t count) {
  std::ifstream in("/proc/self/uid_map");
  std::uint64_t inside = 0, outside = 0, size = 0;
  while (in >> inside >> outside >> size) {
    if (first >= inside && first + std::uint64_t{count} <= inside + size) return true;
  }
  return false;
}

// A container may have taken from root what it takes to have tasks of other users: to become them, to give them
// directories, and to end and clear away what they leave.
bool may_have_users() {
  constexpr std::uint32_t kNeeded =
      1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_KILL | 1U << CAP_SETGID | 1U << CAP_SETUID;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2] = {};
  return syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective & kNeeded) == kNeeded;
}

bool read_number(std::string_view text, uid_t& out) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  return problem == std::errc() && end == text.data() + text.size();
}

Error wrong(const std::string& what) { return Error{Code::kInvalid, "--task-user " + what, {}, {}}; }

bool is_empty(const std::string& path) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return true;
  bool empty = true;
  while (const dirent* entry = readdir(directory)) {
    empty = empty && (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0);
  }
  closedir(directory);
  return empty;
}

void clear(const std::string& path) {
  if (is_empty(path)) return;
  std::error_code ignored;
  for (std::filesystem::directory_iterator it(path, ignored), end; !ignored && it != end; it.increment(ignored)) {
    std::error_code stays;
    std::filesystem::remove_all(it->path(), stays);
  }
}

// Held until it is closed, by us alone; empty: another worker has it.
Fd lock_user(uid_t uid) {
  for (const char* base : {"/run/lock", "/run", "/tmp"}) {
    const std::string directory = std::string(base) + "/millrace-task-users";
    mkdir(directory.c_str(), 0700);
    struct stat status {};
    if (lstat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != geteuid()) continue;
    const std::string file = directory + "/" + std::to_string(uid);
    Fd lock(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) continue;
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) lock.reset();
    return lock;
  }
  return {};
}

}  // namespace

Result<UserRange> parse_task_user(const std::string& text) {
  if (text == "none") return UserRange{};
  const bool is_auto = text.empty() || text == "auto";
  if (geteuid() != 0) {
    if (is_auto) return UserRange{};
    return Error{Code::kRefused, "--task-user " + text + ": only root can run tasks as another user", {}, {}};
  }
  if (is_auto) {
    if (!may_have_users()) return UserRange{};
    if (is_mapped(kTaskUserFirst, kTaskUserCount)) return UserRange{kTaskUserFirst, kTaskUserCount, 0};
    const passwd* nobody = getpwnam("nobody");
    if (nobody == nullptr || !is_mapped(nobody->pw_uid, 1)) return UserRange{};
    return UserRange{nobody->pw_uid, 1, nobody->pw_gid};
  }
  UserRange out;
  const std::size_t dash = text.find('-');
  uid_t last = 0;
  if (read_number(text, out.first)) {
    last = out.first;
  } else if (dash == std::string::npos || !read_number(text.substr(0, dash), out.first) ||
             !read_number(text.substr(dash + 1), last)) {
    const passwd* user = getpwnam(text.c_str());
    if (user == nullptr) return wrong(text + ": there is no such user; expected auto, none, NAME, UID or UID-UID");
    out.first = last = user->pw_uid;
    out.gid = user->pw_gid;
  }
  if (out.first == 0) return wrong(text + ": to run tasks as root, say none");
  if (last < out.first || last - out.first >= 65536)
    return wrong(text + ": expected FIRST-LAST of at most 65536 users");
  out.count = last - out.first + 1;
  if (!is_mapped(out.first, out.count)) return wrong(text + ": this container does not know these users");
  return out;
}

TaskSeat& TaskSeat::operator=(TaskSeat&& other) noexcept {
  std::swap(owner_, other.owner_);
  std::swap(number_, other.number_);
  std::swap(place_, other.place_);
  std::swap(user_, other.user_);
  std::swap(directory_, other.directory_);
  return *this;
}

void TaskSeat::leave() {
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->give_back(number_);
}

TaskUsers::TaskUsers(UserRange range, std::string work_dir, bool own_directories)
    : range_(range), work_dir_(std::move(work_dir)), own_directories_(own_directories), shared_directory_(work_dir_) {
  if (!own_directories_) {
    range_.count = 0;  // others could not enter it
    return;
  }
  if (range_.count == 0) return;
  chmod(work_dir_.c_str(), 0711);
  shared_ = {range_.first, range_.gid != 0 ? range_.gid : range_.first, true, false};
  const std::string path = work_dir_ + "/shared";
  if (make_directory(path, shared_)) shared_directory_ = path;
}

TaskUsers::Place TaskUsers::new_place() {
  Place place;
  place.user = shared_;
  if (range_.count < 2) return place;
  for (std::uint32_t tried = 1; tried < range_.count && !place.lock; ++tried) {
    next_ = next_ + 1 < range_.count ? next_ + 1 : 1;
    place.user.uid = range_.first + next_;
    place.lock = lock_user(place.user.uid);
  }
  if (!place.lock) return Place{shared_, {}};  // all are taken
  place.user.gid = range_.gid != 0 ? range_.gid : place.user.uid;
  place.user.alone = true;
  return place;
}

bool TaskUsers::make_directory(const std::string& path, const TaskUser& user) const {
  if (mkdir(path.c_str(), 0700) != 0) return false;
  return !user.changes || chown(path.c_str(), user.uid, user.gid) == 0;
}

TaskSeat TaskUsers::take(bool own) {
  own = (own || change()) && own_directories_;
  const auto free = std::ranges::find(places_, false, &Place::taken);
  const auto number = static_cast<std::size_t>(free - places_.begin());
  if (free == places_.end()) places_.push_back(new_place());
  Place& place = places_[number];
  place.taken = true;
  TaskSeat seat;
  seat.owner_ = this;
  seat.number_ = static_cast<int>(number);
  seat.user_ = place.user;
  seat.directory_ = work_dir_ + "/" + std::to_string(number);
  if (place.made && access(seat.directory_.c_str(), F_OK) != 0) place.made = false;  // a task has removed it
  if (own && !place.made) place.made = make_directory(seat.directory_, seat.user_);
  if (own && place.made) seat.place_ = seat.number_;
  else seat.directory_ = work_dir_;
  return seat;
}

void TaskUsers::give_back(int number) {
  Place& place = places_[static_cast<std::size_t>(number)];
  place.taken = false;
  if (!place.made) return;
  const std::string path = work_dir_ + "/" + std::to_string(number);
  chmod(path.c_str(), 0700);
  clear(path);
}

bool can_access(const TaskUser& user, const std::string& path, int mode) {
  if (!user.changes) return access(path.c_str(), mode) == 0;
  const pid_t pid = vfork();
  if (pid == 0) {
    const bool other = syscall(SYS_setgroups, 0, nullptr) == 0 &&
                       syscall(SYS_setresgid, user.gid, user.gid, user.gid) == 0 &&
                       syscall(SYS_setresuid, user.uid, user.uid, user.uid) == 0;
    _exit(other && access(path.c_str(), mode) == 0 ? 0 : 1);
  }
  int status = 0;
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

std::string find_program_for(const TaskUser& user, std::string_view program, std::string_view path) {
  for (std::string& file : find_programs(program, path)) {
    if (!user.changes || can_access(user, file, X_OK)) return std::move(file);
  }
  return {};
}

// The system call itself: that of the C library would change all our threads.
void kill_user(uid_t uid) {
  const pid_t pid = vfork();
  if (pid == 0) {
    if (syscall(SYS_setresuid, uid, uid, uid) == 0) kill(-1, SIGKILL);
    _exit(0);
  }
  if (pid > 0) waitpid(pid, nullptr, 0);
}

void kill_abandoned_user(uid_t uid) {
  if (const Fd lock = lock_user(uid)) kill_user(uid);
}

}  // namespace millrace
