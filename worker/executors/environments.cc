#include "worker/executors/environments.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "common/base/hash.h"
#include "worker/executors/process.h"
#include "worker/executors/runner_source.h"
#include "worker/executors/task_support.h"

extern char** environ;

namespace millrace {
namespace {

constexpr const char* kMark = "/.millrace-ready";
constexpr std::size_t kTailMax = 8 * 1024;
constexpr std::size_t kTailLines = 20;
constexpr std::size_t kFailuresMax = 256;
constexpr int kNoPip = 3, kTooMany = 4;

Error refused(std::string what, const char* name) { return Error{Code::kRefused, std::move(what), {}, name}; }

// pip is told what the operator set for it: where its index is, and how to get there.
std::vector<std::string> pip_environment() {
  Environment out = worker_environment();
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view pair = *at;
    const std::string_view name = pair.substr(0, pair.find('='));
    static constexpr std::string_view kOthers[] = {"http_proxy",    "https_proxy",  "no_proxy",
                                                   "HTTP_PROXY",    "HTTPS_PROXY",  "NO_PROXY",
                                                   "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"};
    if (name.size() < pair.size() && (name.starts_with("PIP_") || std::ranges::count(kOthers, name) > 0))
      assign(out, name, std::string(pair.substr(name.size() + 1)));
  }
  return to_strings(out);
}

std::string last_lines(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  std::size_t at = text.size();
  for (std::size_t lines = 0; lines < kTailLines && at != std::string_view::npos && at > 0; ++lines)
    at = text.rfind('\n', at - 1);
  return std::string(at == std::string_view::npos || at == 0 ? text : text.substr(at + 1));
}

// Of what pip said, the line that says what is wrong; else the last one.
std::string main_line(std::string_view text) {
  static constexpr std::string_view kWord = "ERROR: ";
  const std::size_t error = text.rfind(kWord);
  const std::size_t begin = error != std::string_view::npos              ? error + kWord.size()
                            : text.rfind('\n') != std::string_view::npos ? text.rfind('\n') + 1
                                                                         : 0;
  return std::string(text.substr(begin, text.find('\n', begin) - begin));
}

}  // namespace

// One that is being made, and who waits for it.
class PythonEnvironments::Making final : Process::Listener {
 public:
  explicit Making(std::function<void(Status)> done) : done_(std::move(done)) {}
  ~Making() {
    if (timer_) reactor_->cancel(*timer_);
  }

  Status start(Reactor& reactor, SpawnSpec spec, const std::string& order, Duration timeout) {
    Result<std::unique_ptr<Process>> process = Process::start(reactor, *this, std::move(spec), order);
    if (!process.ok()) return process.error();
    process_ = std::move(*process);
    reactor_ = &reactor;
    timer_ = reactor.after(timeout, [this, timeout] {
      timer_.reset();
      timed_out_ = "it took longer than " + std::to_string(timeout / 1s) + " s";
      process_->terminate();
    });
    return Done{};
  }

  std::vector<std::pair<AttemptId, Answer>> waiting;

 private:
  void on_output(LogStream /*stream*/, std::string_view bytes) override {
    said_ += bytes;
    if (said_.size() > kTailMax) said_.erase(0, said_.size() - kTailMax);
  }

  void on_exit(int wait_status) override {
    const int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    const std::function<void(Status)> done = std::move(done_);  // this ends with it
    if (code == 0) return done(Done{});
    const std::string lines = last_lines(said_);
    std::string why = !timed_out_.empty() ? timed_out_ : main_line(lines);
    if (why.empty() && WIFSIGNALED(wait_status)) why = describe_signal(WTERMSIG(wait_status));
    if (code == kNoPip || code == kTooMany)
      return done(refused("the requirements cannot be had here: " + why, code == kNoPip ? "pip" : "environments"));
    done(Error{Code::kFailed, "the requirements could not be installed: " + why, {{"", 0, 0, lines, "", ""}}, "pip"});
  }

  std::function<void(Status)> done_;
  Reactor* reactor_ = nullptr;
  std::unique_ptr<Process> process_;
  std::optional<TimerId> timer_;
  std::string said_, timed_out_;
};

PythonEnvironments::PythonEnvironments(RequirementsOptions options, std::string python, Housing& housing,
                                       Reactor& reactor)
    : options_(std::move(options)), python_(std::move(python)), housing_(housing), reactor_(reactor) {}
PythonEnvironments::~PythonEnvironments() = default;

// Another interpreter, or another version of it at the same place, is another environment.
Result<PythonEnvironments::Key> PythonEnvironments::key_of(const RequirementSet& set) const {
  if (options_.directory.empty())
    return refused("this worker installs no requirements: it was not told where (--requirements-dir)",
                   "requirements_dir");
  Key key;
  const Environment environment = worker_environment();
  key.program = find_program_for(housing_.users().shared(), python_, std::string(lookup(environment, "PATH")));
  std::error_code ignored;
  const std::string real = std::filesystem::canonical(key.program, ignored).string();
  struct stat info {};
  if (key.program.empty() || stat(real.c_str(), &info) != 0)
    return refused(python_ + " was not found in PATH", "requirements_dir");
  key.text = real + " " + std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec) + "\n";
  for (const std::string& line : set) key.text += line + "\n";
  key.directory = options_.directory + "/" + to_string(hash128(key.text));
  return key;
}

// False: it has to be made. The hash is not cryptographic: what the mark says decides.
Result<bool> PythonEnvironments::is_there(const Key& key) const {
  std::ifstream in(key.directory + kMark, std::ios::binary);
  if (!in) return false;
  std::string text(key.text.size() + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text != key.text) return refused(key.directory + " holds other requirements: remove it", "environments");
  return true;
}

void PythonEnvironments::want(const RequirementSet& set, const AttemptId& attempt, Answer answer) {
  const Result<Key> key = key_of(set);
  if (!key.ok()) return answer(key.error());
  if (const auto found = makings_.find(key->directory); found != makings_.end()) {
    found->second->waiting.emplace_back(attempt, std::move(answer));
    return;
  }
  const Result<bool> there = is_there(*key);
  if (!there.ok()) return answer(there.error());
  if (*there) return answer(key->directory);
  if (const auto failure = failures_.find(key->directory); failure != failures_.end()) {
    if (failure->second.until_us > steady_us()) return answer(failure->second.error);
    failures_.erase(failure);
  }
  Value order = Value::Object{{"directory", key->directory}, {"key", key->text}, {"no_index", options_.no_index}};
  order.set("environments_max", static_cast<std::uint64_t>(kEnvironmentsMax));
  order.set("requirements", Value::Array(set.begin(), set.end()));
  order.set("find_links", Value::Array(options_.find_links.begin(), options_.find_links.end()));
  SpawnSpec spec;
  spec.argv = {key->program, "-I", "-c", std::string(python_environment_source())};
  spec.env = pip_environment();
  spec.path = std::string(lookup(worker_environment(), "PATH"));
  spec.cwd = "/";
  auto making = std::make_unique<Making>(
      [this, directory = key->directory](Status status) { made(directory, std::move(status)); });
  if (Status started = making->start(reactor_, std::move(spec), order.dump(), options_.timeout); !started.ok())
    return answer(started.error());
  making->waiting.emplace_back(attempt, std::move(answer));
  makings_.emplace(key->directory, std::move(making));
}

void PythonEnvironments::made(const std::string& named, Status status) {
  const std::string directory = named;  // its owner goes
  const auto found = makings_.find(directory);
  const std::unique_ptr<Making> making = std::move(found->second);
  makings_.erase(found);
  if (!status.ok()) {
    if (failures_.size() >= kFailuresMax) failures_.clear();
    failures_[directory] = {status.error(), steady_us() + kRequirementsPause.count()};
  }
  for (auto& [attempt, answer] : std::exchange(making->waiting, {})) {
    if (status.ok()) answer(directory);
    else answer(status.error());
  }
}

void PythonEnvironments::forget(const AttemptId& attempt) {
  for (auto& [directory, making] : makings_)
    std::erase_if(making->waiting, [&](const auto& one) { return one.first == attempt; });
}

}  // namespace millrace
