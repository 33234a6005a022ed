#include "worker/executors/node_process.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "worker/executors/runner_source.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;
// The program text comes over descriptor 4: it is too long for an argument and shall not show in the process list.
constexpr const char* kBoot =
    "require('vm').runInThisContext('(function (require, process) {' + require('fs').readFileSync(4, 'utf8') + "
    "'\\n})', "
    "{filename: 'millrace:runner'})(require, process)";

}  // namespace

Result<std::unique_ptr<NodeProcess>> NodeProcess::start(const std::string& node, const std::string& work_dir, bool once,
                                                        const Confinement& confinement, Reactor& reactor,
                                                        Listener& listener) {
  Result<Channel> channel = make_socket_pair(SOCK_STREAM);
  if (!channel) return channel.error();
  Result<Fd> program = make_input(javascript_runner_source());
  if (!program) return program.error();
  Environment environment = worker_environment();
  for (const char* name : {"NODE_PATH", "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS"}) {
    if (const char* value = std::getenv(name)) assign(environment, name, value);
  }
  settle_in(environment, confinement.user, work_dir, confinement.jail != nullptr);
  SpawnSpec spec;
  spec.argv = {node, "-e", kBoot, "--", once ? "once" : "many"};
  spec.path = std::string(lookup(environment, "PATH"));
  spec.env = to_strings(environment);
  spec.cwd = work_dir;
  spec.fds = {channel->theirs.get(), program->get()};
  spec.confinement = &confinement;
  std::unique_ptr<NodeProcess> out(new NodeProcess(once, reactor, listener, std::move(channel->ours)));
  Result<std::unique_ptr<Process>> process = Process::start(reactor, *out, std::move(spec), {});
  if (!process) return process.error();
  out->process_ = std::move(*process);
  return out;
}

Result<std::unique_ptr<NodeProcess>> NodeProcess::serve(std::vector<std::string> argv, const Environment& environment,
                                                        const std::string& work_dir, Reactor& reactor,
                                                        Listener& listener) {
  Result<Channel> channel = make_socket_pair(SOCK_STREAM);
  if (!channel) return channel.error();
  SpawnSpec spec;
  spec.argv = std::move(argv);
  spec.path = std::string(lookup(environment, "PATH"));
  spec.env = to_strings(environment);
  spec.cwd = work_dir;
  spec.fds = {channel->theirs.get()};
  std::unique_ptr<NodeProcess> out(new NodeProcess(false, reactor, listener, std::move(channel->ours)));
  Result<std::unique_ptr<Process>> process = Process::start(reactor, *out, std::move(spec), {});
  if (!process) return process.error();
  out->process_ = std::move(*process);
  return out;
}

NodeProcess::NodeProcess(bool once, Reactor& reactor, Listener& listener, Fd channel)
    : once_(once), reactor_(reactor), listener_(listener), channel_(std::move(channel)) {
  reactor_.watch(channel_.get(), Reactor::kRead, [this](std::uint32_t ready) {
    if (ready & Reactor::kWrite) write_some();
    if (ready & Reactor::kRead) read_some();  // may destroy this
  });
}

NodeProcess::~NodeProcess() { close_channel(); }

void NodeProcess::close_channel() {
  if (!channel_) return;
  reactor_.forget(channel_.get());
  channel_.reset();
}

void NodeProcess::send(std::string request) {
  assert(answered_);
  answered_ = false;
  process_->begin_task();
  request_ = std::move(request);
  sent_ = 0;
  write_some();
}

void NodeProcess::answer(std::string_view text, bool good) {
  request_ += answer_to_task(text, good);
  write_some();
}

void NodeProcess::write_some() {
  while (channel_ && sent_ < request_.size()) {
    ssize_t n = ::send(channel_.get(), request_.data() + sent_, request_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return;  // broken: its end is on its way
    if (n < 0) break;
    sent_ += static_cast<std::size_t>(n);
  }
  if (!channel_) return;
  const bool blocked = sent_ < request_.size();
  if (blocked != blocked_) reactor_.change(channel_.get(), blocked ? Reactor::kRead | Reactor::kWrite : Reactor::kRead);
  blocked_ = blocked;
  if (blocked) return;
  request_ = {};
  sent_ = 0;
}

// The process is about to end, and on_exit() will say how; or it has closed its channel, and has to die.
bool NodeProcess::read_some() {
  static thread_local std::array<char, kReadSize> buffer;
  if (!channel_) return false;
  ssize_t n = recv(channel_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (n <= 0) {
    close_channel();
    process_->terminate();
    return false;
  }
  reply_.append(buffer.data(), static_cast<std::size_t>(n));
  while (true) {
    std::optional<PythonReply> reply;
    const Status read = read_reply(reply_, reply);
    if (!read.ok() || (reply && (answered_ || (reply->is_end() && !reply_.empty())))) {
      close_channel();
      process_->terminate();
      return false;
    }
    if (!reply) return true;
    process_->drain();
    if (!reply->is_end()) {
      listener_.on_said(*this, std::move(*reply));
      continue;
    }
    reply_ = {};
    answered_ = true;
    listener_.on_reply(*this, std::move(*reply));  // may destroy this
    return false;
  }
}

void NodeProcess::on_exit(int wait_status) {
  const std::weak_ptr<const bool> alive = alive_;
  while (!alive.expired() && channel_ && !answered_ && read_some()) {}  // a reply may have been overtaken by the end
  if (alive.expired()) return;
  close_channel();
  listener_.on_gone(*this, wait_status);  // may destroy this
}

}  // namespace millrace
