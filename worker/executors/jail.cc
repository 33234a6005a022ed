#include "worker/executors/jail.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "common/base/value.h"

namespace millrace {
namespace {

constexpr long kOpenTree = 428, kMoveMount = 429, kMountSetattr = 442;  // the same on every architecture
constexpr unsigned kCloneTree = 1, kRecursive = 0x8000, kEmptyPath = 4;
constexpr std::uint64_t kAttrReadOnly = 1, kAttrNoSuid = 2;
struct MountAttributes {
  std::uint64_t set, clear, propagation, userns;
};

constexpr std::size_t kSlotsMax = 48, kPlacesMax = 32;
constexpr const char* kTmpData = "mode=1777,size=256m,nr_inodes=65536";
constexpr std::array<const char*, 6> kDevices = {"null", "zero", "full", "random", "urandom", "tty"};
constexpr const char* kNothing = "/dev/.none";  // stands where files are hidden

using Op = JailStep::Op;

bool below(const std::string& path, const std::string& place) {
  return path == place || (path.starts_with(place) && (place.back() == '/' || path[place.size()] == '/'));
}

// Collects the steps in the order in which they have to be taken.
class Builder {
 public:
  explicit Builder(Jail& jail) : steps_(jail.steps) {}

  std::uint64_t clone(const std::string& path) {
    steps_.push_back({Op::kClone, path, {}, {}, slots_, true});
    return slots_++;
  }
  bool full() const { return slots_ >= kPlacesMax; }
  void mount(const std::string& target, const char* type, const char* data, std::uint64_t flags,
             bool optional = false) {
    steps_.push_back({Op::kMount, target, type, data, flags, optional});
  }
  // Empty, of its own.
  void cover(const std::string& target, const char* data) {
    mount(target, "tmpfs", data, MS_NOSUID | MS_NODEV, true);
    covered_.push_back(target);
  }
  void attach(const std::string& target, std::uint64_t slot) {
    for (const std::string& place : covered_) {
      if (!below(target, place)) continue;
      for (std::size_t at = target.find('/', place.size() + 1); at != std::string::npos; at = target.find('/', at + 1))
        make_directory(target.substr(0, at));
      if (target != place) make_directory(target);
    }
    steps_.push_back({Op::kAttach, target, {}, {}, slot, true});
  }
  void make_directory(const std::string& path) { steps_.push_back({Op::kMakeDirectory, path, {}, {}, 0755, true}); }
  void add(JailStep step) { steps_.push_back(std::move(step)); }
  bool covers(const std::string& path) const {
    return std::ranges::any_of(covered_, [&](const std::string& place) { return below(path, place); });
  }

 private:
  std::vector<JailStep>& steps_;
  std::vector<std::string> covered_;
  std::uint64_t slots_ = 0;
};

void make_devices(Builder& build, const std::vector<std::pair<std::string, std::uint64_t>>& devices) {
  build.mount("/dev", "tmpfs", "mode=755,size=64k", MS_NOSUID);
  for (const auto& [path, slot] : devices) {
    build.add({Op::kMakeFile, path, {}, {}, 0644});
    build.add({Op::kAttach, path, {}, {}, slot, true});
  }
  build.add({Op::kMakeFile, kNothing});
  build.make_directory("/dev/pts");
  build.make_directory("/dev/shm");
  build.mount("/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=620", MS_NOSUID | MS_NOEXEC);
  build.mount("/dev/shm", "tmpfs", "mode=1777,size=64m", MS_NOSUID | MS_NODEV);
  for (const auto& [from, to] :
       std::array<std::pair<const char*, const char*>, 5>{{{"/dev/ptmx", "pts/ptmx"},
                                                           {"/dev/fd", "/proc/self/fd"},
                                                           {"/dev/stdin", "/proc/self/fd/0"},
                                                           {"/dev/stdout", "/proc/self/fd/1"},
                                                           {"/dev/stderr", "/proc/self/fd/2"}}})
    build.add({Op::kLink, from, to});
  build.add({Op::kReadOnly, "/dev"});
}

void hide(Builder& build, const std::vector<std::string>& hidden) {
  for (const std::string& path : hidden) {
    struct stat status {};
    if (path == "/dev" || build.covers(path) || lstat(path.c_str(), &status) != 0) continue;
    if (S_ISDIR(status.st_mode)) build.mount(path, "tmpfs", "mode=0,size=4k", MS_NOSUID | MS_NODEV | MS_RDONLY, true);
    else build.mount(path, "", kNothing, MS_BIND, true);
  }
}

std::string whole(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::path found = std::filesystem::canonical(path, ignored);
  return ignored ? std::string() : found.string();
}

bool write_text(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const std::size_t size = std::strlen(text);
  const bool written = write(fd, text, size) == static_cast<ssize_t>(size);
  const int error = errno;
  close(fd);
  errno = error;
  return written;
}

// "7 7 1": without std::to_string, which allocates.
void map_line(char* out, unsigned id) {
  char digits[12];
  int n = 0;
  do digits[n++] = static_cast<char>('0' + id % 10);
  while ((id /= 10) != 0);
  for (int twice = 0; twice < 2; ++twice) {
    for (int i = n; i-- > 0;) *out++ = digits[i];
    *out++ = ' ';
  }
  *out++ = '1';
  *out = '\0';
}

bool raise_loopback() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno == EAFNOSUPPORT;
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  const int error = errno;
  close(fd);
  errno = error;
  return up;
}

bool take(const JailStep& step, std::array<int, kSlotsMax>& slots) {
  const char* a = step.a.c_str();
  switch (step.op) {
    case Op::kMount: {
      const bool bind = step.b.empty() && (step.n & MS_BIND) != 0;
      return mount(bind ? step.c.c_str() : "millrace", a, step.b.empty() ? nullptr : step.b.c_str(), step.n,
                   bind || step.c.empty() ? nullptr : step.c.c_str()) == 0;
    }
    case Op::kClone:
      slots[step.n] =
          static_cast<int>(syscall(kOpenTree, AT_FDCWD, a, kCloneTree | kRecursive | static_cast<unsigned>(O_CLOEXEC)));
      return slots[step.n] >= 0;
    case Op::kAttach: return slots[step.n] < 0 || syscall(kMoveMount, slots[step.n], "", AT_FDCWD, a, kEmptyPath) == 0;
    case Op::kReadOnly: {
      MountAttributes attributes{kAttrReadOnly | kAttrNoSuid, 0, 0, 0};
      return syscall(kMountSetattr, AT_FDCWD, a, step.n != 0 ? kRecursive : 0U, &attributes, sizeof attributes) == 0;
    }
    case Op::kMakeDirectory: return mkdir(a, static_cast<mode_t>(step.n)) == 0 || errno == EEXIST;
    case Op::kMakeFile: {
      const int fd = open(a, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, static_cast<mode_t>(step.n));
      if (fd >= 0) close(fd);
      return fd >= 0;
    }
    case Op::kLink: return symlink(step.b.c_str(), a) == 0;
    case Op::kLoopback: return raise_loopback();
  }
  return false;
}

}  // namespace

Jail make_jail(const JailPlaces& places, bool network, uid_t uid, gid_t gid) {
  Jail jail{network, uid, gid, places.writable.empty() ? "/" : places.writable.front(), {}};
  Builder build(jail);
  build.mount("/", "", "", MS_REC | MS_PRIVATE);
  std::vector<std::pair<std::string, std::uint64_t>> kept, devices, seen;
  for (const std::string& path : places.writable) {
    const std::string place = whole(path);
    if (place.empty() || place == "/" || place == "/tmp" || place == "/dev" || build.full()) continue;
    kept.emplace_back(place, build.clone(place));
  }
  for (const std::string& path : places.readable) {
    const std::string place = whole(path);
    if (!place.empty() && place != "/" && !build.full()) seen.emplace_back(place, build.clone(place));
  }
  for (const char* name : kDevices) {
    const std::string path = std::string("/dev/") + name;
    if (access(path.c_str(), F_OK) == 0) devices.emplace_back(path, build.clone(path));
  }
  const std::string resolver = "/run/systemd/resolve";
  if (network && !whole(resolver).empty()) seen.emplace_back(resolver, build.clone(resolver));
  std::ranges::sort(kept);
  build.add({Op::kReadOnly, "/", {}, {}, 1});
  make_devices(build, devices);
  hide(build, places.hidden);
  build.cover("/tmp", kTmpData);
  build.cover("/var/tmp", kTmpData);
  build.cover("/run", "mode=755,size=1m");
  const std::string scratch = whole(places.scratch);
  if (!scratch.empty() && scratch != "/" && !build.covers(scratch)) build.cover(scratch, "mode=755,size=1m");
  for (const auto& [path, slot] : seen) {
    build.attach(path, slot);
    build.add({Op::kReadOnly, path, {}, {}, 1, true});
  }
  for (const auto& [path, slot] : kept) build.attach(path, slot);
  build.mount("/proc", "proc", "", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  if (!network) build.add({Op::kLoopback, {}});
  return jail;
}

std::string jail_json(const Jail& jail) {
  std::string json = "{\"flags\":" + std::to_string(namespace_flags(jail)) + ",\"uid\":" + std::to_string(jail.uid) +
                     ",\"gid\":" + std::to_string(jail.gid) + ",\"home\":";
  append_json_string(json, jail.home);
  json += ",\"steps\":[";
  const char* comma = "";
  for (const JailStep& step : jail.steps) {
    json += comma;
    json += "[" + std::to_string(static_cast<int>(step.op));
    for (const std::string* text : {&step.a, &step.b, &step.c}) {
      json += ',';
      append_json_string(json, *text);
    }
    json += "," + std::to_string(step.n) + (step.optional ? ",true]" : ",false]");
    comma = ",";
  }
  return json + "]}";
}

std::string describe(const JailStep& step) {
  switch (step.op) {
    case Op::kMount: return step.b.empty() ? "a private view of " + step.a : "a " + step.b + " of its own at " + step.a;
    case Op::kClone: return "a copy of " + step.a;
    case Op::kAttach: return "to show " + step.a;
    case Op::kReadOnly: return "to make " + step.a + " read-only";
    case Op::kMakeDirectory:
    case Op::kMakeFile:
    case Op::kLink: return "to make " + step.a;
    case Op::kLoopback: return "a loopback device";
  }
  return {};
}

unsigned long namespace_flags(const Jail& jail) {
  return CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | (jail.network ? 0UL : CLONE_NEWNET);
}

bool enter_namespaces(const Jail& jail) {
  if (syscall(SYS_unshare, namespace_flags(jail)) != 0) return false;
  char user[40], group[40];
  map_line(user, jail.uid);
  map_line(group, jail.gid);
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);  // else its files in /proc are root's, who we may not be any more
  const bool mapped = write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", user) &&
                      write_text("/proc/self/gid_map", group);
  const int error = errno;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // its memory is a copy of ours
  errno = error;
  return mapped;
}

std::size_t take_steps(const Jail& jail) {
  std::array<int, kSlotsMax> slots;
  slots.fill(-1);
  for (std::size_t i = 0; i < jail.steps.size(); ++i) {
    if (!take(jail.steps[i], slots) &&
        !(jail.steps[i].optional && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)))
      return i;
  }
  return jail.steps.size();
}

}  // namespace millrace
