#include "worker/executors/zygote.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "worker/executors/runner_source.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr std::size_t kStderrTail = 4096;
constexpr int kEndPatienceMs = 1000;
// The program text comes over descriptor 4: it is too long for an argument and shall not show in the process list.
constexpr const char* kBoot = "import os; exec(compile(os.fdopen(4).read(), '<millrace>', 'exec'))";

struct __attribute__((packed)) ControlMessage {  // CONTROL in python_runner.py
  char what;
  std::uint64_t id;
  std::int64_t value;
  std::int64_t uid, gid, place;  // of F: who it becomes and where; -1: no change
};

std::string_view bytes_of(const sock_fprog* filter) {
  if (filter == nullptr) return {};
  return {reinterpret_cast<const char*>(filter->filter), filter->len * sizeof(sock_filter)};
}

// The interpreter must find its modules: the worker's own choice of a python path holds here.
Environment zygote_environment() {
  Environment out = worker_environment();
  for (const char* name : {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}) {
    if (const char* value = std::getenv(name)) assign(out, name, value);
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<Zygote>> Zygote::start(const std::string& python, For whom, bool late_packages, Housing& housing,
                                              Reactor& reactor, Listener& listener) {
  Environment environment = zygote_environment();
  std::string path(lookup(environment, "PATH"));
  const TaskUser& user = housing.users().shared();
  const std::string program_file = find_program_for(user, python, path);
  if (program_file.empty() && !find_program(python, path).empty()) {
    return Error{Code::kRefused,
                 find_program(python, path) + " cannot be run by the user " + std::to_string(user.uid) +
                     " of the tasks: name another interpreter with --python, or another user with --task-user",
                 {},
                 ""};
  }
  if (program_file.empty()) {
    return Error{Code::kRefused,
                 python +
                     " was not found in PATH; install Python 3.9 or newer (package python3), or name another "
                     "interpreter in the worker's configuration",
                 {},
                 ""};
  }
  Result<Channel> control = make_socket_pair(SOCK_SEQPACKET);
  if (!control) return control.error();
  Result<Channel> err = make_output_pipe();
  if (!err) return err.error();
  Result<Fd> none = make_input({});
  if (!none) return none.error();
  Result<Fd> program = make_input(python_runner_source());
  if (!program) return program.error();
  const Confinement confinement = housing.usual({});
  Result<Fd> filter = make_input(bytes_of(confinement.filter));
  if (!filter) return filter.error();
  SpawnSpec spec;
  spec.argv = {program_file, "-c", kBoot, whom == For::kConfined ? "confined" : "others"};
  if (late_packages) spec.argv.insert(spec.argv.begin() + 1, "-S");
  spec.env = to_strings(environment);
  spec.path = path;
  spec.cwd = housing.users().work_dir();
  spec.fds = {none->get(),           err->theirs.get(), err->theirs.get(),
              control->theirs.get(), program->get(),    confinement.landlock < 0 ? none->get() : confinement.landlock,
              filter->get()};
  spec.die_with_parent = false;  // it has to kill its interpreters first, when it sees the end of its socket
  spec.adopt_orphans = true;
  Result<pid_t> pid = spawn(spec);
  if (!pid) return Error{Code::kRefused, pid.error().what, {}, ""};
  if (!confinement.pin.empty()) static_cast<void>(pin_to(confinement.pin, *pid));  // those of its tasks are set anew
  return std::unique_ptr<Zygote>(new Zygote(reactor, listener, *pid, std::move(control->ours), std::move(err->ours)));
}

Zygote::Zygote(Reactor& reactor, Listener& listener, pid_t pid, Fd control, Fd err)
    : reactor_(reactor),
      listener_(listener),
      pid_(pid),
      control_(std::move(control)),
      stderr_(reactor, std::move(err), [this](std::string_view bytes) {
        stderr_tail_ += bytes;
        if (stderr_tail_.size() > kStderrTail) stderr_tail_.erase(0, stderr_tail_.size() - kStderrTail);
      }) {
  reactor_.watch(control_.get(), Reactor::kRead, [this](std::uint32_t ready) {
    if (ready & Reactor::kWrite) send_orders();
    if (ready & Reactor::kRead) receive();  // may destroy this
  });
}

Zygote::~Zygote() {
  for (const auto& [id, pid] : pids_) {
    if (pid > 0) signal_group(pid, SIGKILL);
  }
  reactor_.forget(control_.get());
  control_.reset();
  // It ends by itself at the end of its socket; a stopped one is not waited for.
  int status = 0;
  for (int waited = 0; waited < kEndPatienceMs; ++waited) {
    if (reap(pid_, status, false)) return;
    usleep(1000);
  }
  ::kill(pid_, SIGKILL);
  reap(pid_, status);
}

void Zygote::fork(const Fork& fork, Fd channel, Fd out, Fd err) {
  pids_[fork.id] = 0;
  Order fork_order{'F', fork.id, fork.once ? 1 : 0, {}, fork.user, fork.place};
  fork_order.fds.push_back(std::move(channel));
  fork_order.fds.push_back(std::move(out));
  fork_order.fds.push_back(std::move(err));
  order(std::move(fork_order));
}

void Zygote::give_up(InterpreterId id) {
  auto found = pids_.find(id);
  if (found == pids_.end()) return;
  if (found->second == 0) {
    given_up_early_.insert(id);
    return;
  }
  signal_group(found->second, SIGKILL);
  pids_.erase(found);
  order(Order{'R', id, 0, {}});
}

void Zygote::signal(InterpreterId id, int signal_number) {
  auto found = pids_.find(id);
  if (found == pids_.end()) return;
  if (found->second == 0) signals_due_[id] = signal_number;
  else signal_group(found->second, signal_number);
}

void Zygote::order(Order order) {
  orders_.push_back(std::move(order));
  send_orders();
}

void Zygote::send_orders() {
  while (!orders_.empty() && send(orders_.front())) orders_.pop_front();
  bool blocked = !orders_.empty();
  if (blocked == blocked_) return;
  blocked_ = blocked;
  reactor_.change(control_.get(), blocked ? Reactor::kRead | Reactor::kWrite : Reactor::kRead);
}

// False: not now. A broken socket is noticed by receive(), which gives everything up.
bool Zygote::send(const Order& order) {
  ControlMessage body{order.what, order.id.value, order.value, -1, -1, order.place};
  if (order.user.changes) {
    body.uid = order.user.uid;
    body.gid = order.user.gid;
  }
  iovec part{&body, sizeof body};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(3 * sizeof(int))> ancillary{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!order.fds.empty()) {
    assert(order.fds.size() == 3);
    std::array<int, 3> fds{order.fds[0].get(), order.fds[1].get(), order.fds[2].get()};
    message.msg_control = ancillary.data();
    message.msg_controllen = ancillary.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fds);
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof fds);
  }
  return sendmsg(control_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

void Zygote::receive() {
  ControlMessage message{};
  ssize_t n = recv(control_.get(), &message, sizeof message, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n != static_cast<ssize_t>(sizeof message)) {
    gone();
    return;
  }
  InterpreterId id{message.id};
  switch (message.what) {
    case 'H': ready_ = true; break;
    case 'C': {
      auto pid = static_cast<pid_t>(message.value);
      pids_[id] = pid;
      if (given_up_early_.erase(id) != 0) {
        signals_due_.erase(id);
        give_up(id);
        break;
      }
      auto due = signals_due_.find(id);
      if (due != signals_due_.end()) signal_group(pid, due->second);
      signals_due_.erase(id);
      listener_.on_forked(id, pid);
      break;
    }
    case 'E':
      pids_.erase(id);
      signals_due_.erase(id);
      if (given_up_early_.erase(id) == 0) {
        listener_.on_fork_failed(id, std::strerror(static_cast<int>(message.value)));
      }
      break;
    case 'X':
      if (pids_.count(id) != 0) listener_.on_died(id, static_cast<int>(message.value));
      break;
    default: break;
  }
}

void Zygote::gone() {
  stderr_.drain();
  for (const auto& [id, pid] : pids_) {
    if (pid > 0) signal_group(pid, SIGKILL);
  }
  pids_.clear();
  std::string why = ready_ ? "the python process died" : "python did not start";
  listener_.on_gone(why + last_words(), ready_);  // destroys this
}

std::string Zygote::last_words() const {
  std::size_t end = stderr_tail_.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return {};
  std::size_t newline = stderr_tail_.rfind('\n', end);
  std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
  return ": " + stderr_tail_.substr(begin, end + 1 - begin);
}

}  // namespace millrace
