#include "worker/executors/sandbox.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

namespace millrace {
namespace {

// ---------------------------------------------------------------- landlock, as the kernel defines it

constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;  // the same on every architecture
constexpr std::uint32_t kVersionFlag = 1;
constexpr std::uint32_t kPathBeneath = 1;
struct RulesetAttributes {
  std::uint64_t fs = 0, net = 0, scoped = 0;
};
struct __attribute__((packed)) PathBeneath {
  std::uint64_t allowed;
  std::int32_t parent;
};
constexpr std::uint64_t kExecute = 1, kWriteFile = 2, kReadFile = 4, kReadDir = 8, kRemoveDir = 16, kRemoveFile = 32,
                        kMakeAll = 0x7F << 6, kRefer = 1 << 13, kTruncate = 1 << 14;
constexpr std::uint64_t kReading = kExecute | kReadFile | kReadDir;
constexpr std::uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate;
// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE.
constexpr std::uint64_t kCapabilitiesKept = 0b100'1111'1011;
constexpr std::uint64_t kScopeAbstractSocket = 1, kScopeSignal = 2;
constexpr int kDepthMax = 8;

constexpr std::array<const char*, 13> kHidden = {"/dev",
                                                 "/etc/shadow",
                                                 "/etc/shadow-",
                                                 "/etc/gshadow",
                                                 "/etc/gshadow-",
                                                 "/etc/sudoers",
                                                 "/etc/sudoers.d",
                                                 "/etc/ssl/private",
                                                 "/etc/ssh/ssh_host_rsa_key",
                                                 "/etc/ssh/ssh_host_ecdsa_key",
                                                 "/etc/ssh/ssh_host_ed25519_key",
                                                 "/etc/kubernetes",
                                                 "/root/.ssh"};
constexpr std::array<const char*, 8> kWritable = {"/tmp", "/var/tmp", "/home",  "/root",
                                                  "/srv", "/mnt",     "/media", "/opt"};
constexpr std::array<const char*, 9> kDevices = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
                                                 "/dev/tty",  "/dev/ptmx", "/dev/pts",  "/dev/shm"};

std::uint64_t writing(int abi) {
  std::uint64_t rights = kWriteFile | kRemoveDir | kRemoveFile | kMakeAll;
  if (abi >= 2) rights |= kRefer;
  if (abi >= 3) rights |= kTruncate;
  return rights;
}

void allow(int ruleset, const std::string& path, std::uint64_t rights) {
  const Fd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) return;
  if (!S_ISDIR(status.st_mode)) rights &= kOfFiles;
  const PathBeneath rule{rights, fd.get()};
  syscall(kAddRule, ruleset, kPathBeneath, &rule, 0);
}

std::int64_t changed(const char* path) {
  struct stat status {};
  return stat(path, &status) == 0 ? status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec : 0;
}

// ---------------------------------------------------------------- the filter of system calls

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kArchitecture = 0;  // no filter
#endif

constexpr int kDenied[] = {
    // EPERM
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_setns,
    SYS_unshare,
    SYS_acct,
    SYS_quotactl,
    SYS_syslog,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_open_by_handle_at,
    SYS_fanotify_init,
    SYS_vhangup,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
#endif
    428 /* open_tree */,
    429 /* move_mount */,
    430 /* fsopen */,
    431 /* fsconfig */,
    432 /* fsmount */,
    433 /* fspick */,
    438 /* pidfd_getfd */,
    440 /* process_madvise */,
    442 /* mount_setattr */,
};
constexpr int kAbsent[] = {
    // ENOSYS: libraries then do without
    425 /* io_uring_setup */,
    426 /* io_uring_enter */,
    427 /* io_uring_register */,
    435 /* clone3: its flags lie in memory */,
};
constexpr std::uint32_t kNewNamespaces = 0x7E020000;  // every CLONE_NEW* but NEWTIME, which clone() cannot take

std::vector<sock_filter> make_filter() {
  std::vector<sock_filter> out;
  const auto say = [&](std::uint16_t code, std::uint32_t k, std::uint8_t yes = 0, std::uint8_t no = 0) {
    out.push_back({code, yes, no, k});
  };
  const auto load = [&](std::size_t offset) { say(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); };
  const auto answer = [&](std::uint32_t what) { say(BPF_RET | BPF_K, what); };
  const auto on = [&](std::uint32_t number, std::uint32_t what) {
    say(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
    answer(what);
  };
  constexpr std::uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM, kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
  load(offsetof(seccomp_data, arch));
  say(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  answer(kEnosys);
  load(offsetof(seccomp_data, nr));
  say(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);  // the x32 numbers of the same calls
  answer(kEnosys);
  for (const int number : kDenied) on(static_cast<std::uint32_t>(number), kEperm);
  for (const int number : kAbsent) on(static_cast<std::uint32_t>(number), kEnosys);
  say(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3);
  load(offsetof(seccomp_data, args));
  say(BPF_JMP | BPF_JSET | BPF_K, kNewNamespaces, 0, 1);
  answer(kEperm);
  answer(SECCOMP_RET_ALLOW);
  return out;
}

const sock_fprog* the_filter() {
  static std::vector<sock_filter> program = make_filter();
  static const sock_fprog whole{static_cast<unsigned short>(program.size()), program.data()};
  return kArchitecture == 0 ? nullptr : &whole;
}

// Of root's powers those that programs need to work on files and to become another user; a filter and a ruleset alone
// leave it, for example, the memory of everybody (CAP_PERFMON).
bool drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (syscall(SYS_capget, &header, sets.data()) != 0) return false;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto kept = static_cast<std::uint32_t>(kCapabilitiesKept >> (32 * i));
    sets[i].effective &= kept;
    sets[i].permitted &= kept;
    sets[i].inheritable = 0;
  }
  return syscall(SYS_capset, &header, sets.data()) == 0;
}

bool limit(int what, rlim_t soft, rlim_t hard) {
  rlimit now{};
  if (getrlimit(static_cast<__rlimit_resource>(what), &now) != 0) return false;
  const rlimit wanted{std::min(soft, now.rlim_max), std::min(hard, now.rlim_max)};
  return setrlimit(static_cast<__rlimit_resource>(what), &wanted) == 0;
}

}  // namespace

void let_die_first(pid_t pid) {
  char path[40] = "/proc/self/oom_score_adj";
  if (pid != 0) std::snprintf(path, sizeof path, "/proc/%d/oom_score_adj", static_cast<int>(pid));
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const auto written = write(fd, "500", 3);
  close(fd);
}

bool enter_groups(const Confinement& c) {
  let_die_first(0);
  for (const std::string& group : c.cgroups) {
    const int fd = open(group.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool in = write(fd, "0", 1) == 1;
    const int error = errno;
    close(fd);
    errno = error;
    if (!in) return false;
  }
  return c.pin.empty() || pin_to(c.pin, 0);
}

bool pin_to(const std::vector<int>& processors, pid_t pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int one : processors) CPU_SET(static_cast<std::size_t>(one), &set);
  return sched_setaffinity(pid, sizeof set, &set) == 0;
}

// The system calls themselves: those of the C library change all threads of a process, and a child of vfork() shares
// ours.
bool become(const TaskUser& user) {
  if (!user.changes) return true;
  umask(077);
  return syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, user.gid, user.gid, user.gid) == 0 &&
         syscall(SYS_setresuid, user.uid, user.uid, user.uid) == 0;
}

bool confine(const Confinement& c) {
  if (c.landlock < 0 && c.filter == nullptr) return true;
  if (!drop_capabilities()) return false;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  if (c.landlock >= 0 && syscall(kRestrictSelf, c.landlock, 0) != 0) return false;
  return c.filter == nullptr || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, c.filter, 0, 0) == 0;
}

// Of cpu time a second more is left to die in: SIGXCPU says what it was, SIGKILL would not.
bool limit_use(const TaskLimits& limits) {
  const std::uint64_t seconds = static_cast<std::uint64_t>((limits.cpu.count() + 999'999) / 1'000'000);
  return limit(RLIMIT_CORE, 0, 0) && (limits.memory == 0 || limit(RLIMIT_AS, limits.memory, limits.memory)) &&
         (seconds == 0 || limit(RLIMIT_CPU, seconds, seconds + 1)) &&
         (limits.processes == 0 || limit(RLIMIT_NPROC, limits.processes, limits.processes)) &&
         (limits.files == 0 || limit(RLIMIT_NOFILE, limits.files, limits.files)) &&
         (limits.file_size == 0 || limit(RLIMIT_FSIZE, limits.file_size, limits.file_size));
}

namespace {

// Tries it: a container may forbid what its kernel can do.
int try_confine(const Confinement& confinement) {
  const pid_t pid = vfork();
  if (pid == 0) _exit(confine(confinement) ? 0 : std::max(1, errno & 0x7F));
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return ECHILD;
  return WEXITSTATUS(status);
}

struct Probe {
  int abi = 0;
  bool filters = false;
  std::string missing;
};

Probe make_probe() {
  Probe out;
  const long abi = syscall(kCreateRuleset, nullptr, 0, kVersionFlag);
  RulesetAttributes attributes;
  attributes.fs = kReading;
  const Fd ruleset(abi > 0 ? static_cast<int>(syscall(kCreateRuleset, &attributes, 8, 0)) : -1);
  if (ruleset && try_confine({ruleset.get(), nullptr, {}}) == 0) out.abi = static_cast<int>(abi);
  out.filters = the_filter() != nullptr && try_confine({-1, the_filter(), {}}) == 0;
  if (out.abi == 0) out.missing = "landlock is not there (Linux 5.13 or newer, switched on and not forbidden)";
  if (!out.filters)
    out.missing += std::string(out.missing.empty() ? "" : "; ") + "system calls cannot be filtered (seccomp)";
  return out;
}

const Probe& probe() {
  static const Probe once = make_probe();
  return once;
}

}  // namespace

Sandbox::Sandbox(std::vector<std::string> hidden, Isolation least, std::string runtime_class)
    : named_(std::move(hidden)), hidden_(hidden_now()), least_(least), runtime_class_(std::move(runtime_class)) {
  const Probe& kernel = probe();
  abi_ = kernel.abi;
  missing_ = kernel.missing;
}

// Where the names lead now: Kubernetes replaces what it mounts by changing a symbolic link.
std::vector<std::string> Sandbox::hidden_now() const {
  std::vector<std::string> out = named_;
  for (std::string& path : out) {
    std::error_code ignored;
    const std::filesystem::path whole = std::filesystem::weakly_canonical(path, ignored);
    if (!whole.empty()) path = whole.string();
  }
  // Others cannot read these anyway; and where nothing in /etc is hidden, what is replaced there stays readable.
  if (geteuid() == 0) out.insert(out.end(), kHidden.begin(), kHidden.end());
  return out;
}

bool Sandbox::is_hidden(const std::string& path) const { return std::ranges::find(hidden_, path) != hidden_.end(); }

bool Sandbox::holds_hidden(const std::string& path) const {
  return std::ranges::any_of(hidden_,
                             [&](const std::string& one) { return one.starts_with(path == "/" ? path : path + "/"); });
}

const sock_fprog* Sandbox::filter() const { return probe().filters ? the_filter() : nullptr; }

namespace {

std::string try_namespaces(const TaskUser& user) {
  Confinement confinement;
  confinement.user = user;
  const bool changes = user.changes;
  confinement.jail = std::make_shared<const Jail>(
      make_jail({}, false, changes ? user.uid : geteuid(), changes ? user.gid : getegid()));
  SpawnSpec spec;
  spec.argv = {"/bin/true"};
  spec.cwd = "/";
  spec.path = "/bin:/usr/bin";
  spec.confinement = &confinement;
  const Result<pid_t> pid = spawn(spec);
  if (!pid.ok()) return pid.error().what;
  int status = 0;
  return reap(*pid, status) && status == 0 ? std::string() : "a process in them did not end well";
}

}  // namespace

const std::string& Sandbox::namespaces_missing(const TaskUser& user) {
  static std::map<std::pair<bool, uid_t>, std::string> tried;
  const std::pair<bool, uid_t> key(user.changes, user.changes ? user.uid : 0);
  const auto found = tried.find(key);
  if (found != tried.end()) return found->second;
  return tried[key] = try_namespaces(user);
}

Result<Isolation> Sandbox::tier(std::string_view isolation, const TaskUser& user) const {
  Isolation asked = std::max(Isolation::kProcess, least_);
  if (!isolation.empty()) {
    const Result<Isolation> read = parse_isolation(isolation);
    if (!read.ok()) return read.error();
    asked = *read;
  }
  const auto refuse = [](std::string why) { return Error{Code::kRefused, std::move(why), {}, "isolation"}; };
  if (asked < least_)
    return refuse("this worker requires at least the isolation `" + std::string(to_string(least_)) + "`");
  if (asked == Isolation::kContainer) {
    if (runtime_class_.empty())
      return refuse(
          "the isolation `container` cannot be had here: this worker was not told that it runs in a container "
          "(--runtime-class)");
    if (namespaces_missing(user).empty() && filter() != nullptr) return Isolation::kNamespaces;
    if (least_ < Isolation::kNamespaces) return Isolation::kProcess;
    asked = Isolation::kNamespaces;
  }
  if (asked == Isolation::kNamespaces) {
    if (const std::string& why = namespaces_missing(user); !why.empty())
      return refuse("the isolation `namespaces` cannot be had here: " + why);
    if (filter() == nullptr)
      return refuse("the isolation `namespaces` cannot be had here: system calls cannot be filtered (seccomp)");
  }
  const bool required = !isolation.empty() || least_ == Isolation::kProcess;
  if (asked == Isolation::kProcess && required && !missing_.empty())
    return refuse("the isolation `process` cannot be had here: " + missing_);
  return asked;
}

// A directory as a whole where nothing in it is hidden, else what is in it, one by one.
void Sandbox::allow_below(int ruleset, const std::string& path, std::uint64_t rights, int depth) const {
  if (is_hidden(path)) return;
  if (!holds_hidden(path) || depth >= kDepthMax) return allow(ruleset, path, rights);
  allow(ruleset, path, rights & kReadDir);
  std::error_code problem;
  for (std::filesystem::directory_iterator it(path, problem), end; !problem && it != end; it.increment(problem)) {
    if (it->is_symlink(problem)) continue;  // what it leads to is allowed by itself, or not
    allow_below(ruleset, it->path().string(), rights, depth + 1);
  }
}

Fd Sandbox::ruleset(const std::vector<std::string>& writable) const {
  RulesetAttributes attributes;
  attributes.fs = kReading | writing(abi_);
  if (abi_ >= 6) attributes.scoped = kScopeAbstractSocket | kScopeSignal;
  const std::size_t size = abi_ >= 6 ? sizeof attributes : abi_ >= 4 ? 16 : 8;
  Fd fd(static_cast<int>(syscall(kCreateRuleset, &attributes, size, 0)));
  if (!fd) return fd;
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  allow_below(fd.get(), "/", kReading, 0);
  for (const char* path : kWritable) allow_below(fd.get(), path, writing(abi_), 0);
  for (const char* path : kDevices) allow(fd.get(), path, writing(abi_) | kReading);
  for (const std::string& path : writable) allow(fd.get(), path, writing(abi_) | kReading);
  return fd;
}

Confinement Sandbox::confinement(const std::vector<std::string>& writable, const TaskLimits& limits) {
  Confinement out;
  out.limits = limits;
  out.filter = filter();
  out.tier = Isolation::kProcess;
  if (abi_ == 0) return out;
  const std::int64_t state = changed("/") ^ changed("/etc");
  if (!ruleset_ || state != made_of_ || writable != made_for_) {
    hidden_ = hidden_now();
    ruleset_ = ruleset(writable);
    made_of_ = state;
    made_for_ = writable;
  }
  out.landlock = ruleset_.get();
  return out;
}

Confinement Sandbox::jailed(JailPlaces places, bool network, const TaskUser& user, const TaskLimits& limits) const {
  Confinement out;
  out.limits = limits;
  out.filter = filter();
  out.tier = Isolation::kNamespaces;
  places.hidden = hidden_now();
  out.jail = std::make_shared<const Jail>(
      make_jail(places, network, user.changes ? user.uid : geteuid(), user.changes ? user.gid : getegid()));
  return out;
}

}  // namespace millrace
