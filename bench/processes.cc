#include "bench/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/io/allow_list.h"
#include "common/io/redis.h"
#include "common/io/small_file.h"

namespace millrace::bench {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::string tail(const fs::path& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  std::string all = text.str();
  return all.size() > 2'000 ? all.substr(all.size() - 2'000) : all;
}

void end(pid_t& pid, int signal) {
  if (pid <= 0) return;
  kill(pid, signal);
  for (int i = 0; i < 300; ++i) {
    if (waitpid(pid, nullptr, WNOHANG) == pid) {
      pid = -1;
      return;
    }
    std::this_thread::sleep_for(10ms);
  }
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  pid = -1;
}

}  // namespace

pid_t Cluster::spawn(const std::vector<std::string>& argv, const std::string& log,
                     const std::vector<std::pair<std::string, std::string>>& settings) const {
  std::vector<char*> raw;
  for (const std::string& argument : argv) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  std::string path = directory_ + "/" + log;
  pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  rlimit files{};  // a thousand workers are more connections than the usual limit allows
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  int out = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(out, 1);
  dup2(out, 2);
  for (const auto& [name, value] : settings) setenv(name.c_str(), value.c_str(), 1);
  execvp(raw[0], raw.data());
  _exit(127);
}

Status Cluster::start_redis() {
  redis_socket_ = directory_ + "/redis.sock";
  std::vector<std::string> argv = {"redis-server", "--port", "0", "--unixsocket", redis_socket_, "--dir",
                                   directory_,     "--save", ""};
  if (options_.appendfsync == "no") argv.insert(argv.end(), {"--appendonly", "no"});
  else argv.insert(argv.end(), {"--appendonly", "yes", "--appendfsync", options_.appendfsync});
  redis_ = spawn(argv, "redis.log");
  for (int i = 0; i < 500; ++i) {
    if (redis_bytes() > 0) return Done{};
    std::this_thread::sleep_for(10ms);
  }
  return Error{Code::kUnavailable, "redis-server does not answer:\n" + tail(directory_ + "/redis.log"), {}, ""};
}

// Files as `millrace keys` writes them: coordinator.key, worker.key, coordinator.pub and authorized in the directory.
Status Cluster::make_keys() {
  AllowList list;
  for (const Role role : kRoles) {
    CurveKeys keys = new_curve_keys();
    KeyFile file{{to_string(role), role, keys.public_key}, keys.secret_key};
    const std::string base = directory_ + "/" + file.key.name;
    if (Status added = list.add({file.key, {}}, false); !added.ok()) return added;
    if (Status written = write_private_file(base + ".key", key_file_text(file), false); !written.ok()) return written;
    file.secret = {};
    if (Status written = write_private_file(base + ".pub", key_file_text(file), false); !written.ok()) return written;
  }
  if (Status written = write_private_file(directory_ + "/authorized", list.text(), false); !written.ok())
    return written;
  Result<std::optional<CurveClient>> client =
      read_curve_client(directory_ + "/operator.key", directory_ + "/coordinator.pub");
  if (!client.ok()) return client.error();
  client_keys_ = std::move(client).value();
  return Done{};
}

Status Cluster::start() {
  std::string pattern = (fs::temp_directory_path() / "millrace-bench-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return Error{Code::kUnavailable, "no temporary directory", {}, ""};
  directory_ = pattern;
  if (options_.store == "redis") {
    if (Status redis = start_redis(); !redis.ok()) return redis;
  }
  if (options_.curve) {
    if (Status made = make_keys(); !made.ok()) return made;
  }
  // The coordinator takes a free port and logs it.
  const bool ipc = options_.transport == "ipc";
  std::vector<std::string> argv = {options_.bin_dir + "/millrace-coordinator",
                                   "--listen",
                                   ipc ? "ipc://" + directory_ + "/requests.sock" : "tcp://127.0.0.1:0",
                                   "--events",
                                   ipc ? "ipc://" + directory_ + "/events.sock" : "tcp://127.0.0.1:0",
                                   "--store",
                                   options_.store,
                                   "--log-format",
                                   "json",
                                   "--id",
                                   "bench"};
  if (options_.store == "redis") argv.insert(argv.end(), {"--redis", "unix://" + redis_socket_});
  if (options_.streams) argv.insert(argv.end(), {"--stream-redis", "bench=" + redis_url()});
  if (options_.runs_max > 0) argv.insert(argv.end(), {"--runs-max", std::to_string(options_.runs_max)});
  if (options_.curve) {
    argv.insert(argv.end(),
                {"--curve-key", directory_ + "/coordinator.key", "--curve-authorized", directory_ + "/authorized"});
  }
  coordinator_ = spawn(argv, "coordinator.log", options_.settings);
  for (int i = 0; i < 1'000 && endpoint_.empty(); ++i) {
    std::this_thread::sleep_for(10ms);
    std::string log = tail(directory_ + "/coordinator.log");
    static const std::string kMark = "\"endpoint\":\"";
    std::size_t at = log.find(kMark);
    if (at != std::string::npos)
      endpoint_ = log.substr(at + kMark.size(), log.find('"', at + kMark.size()) - at - kMark.size());
  }
  if (endpoint_.empty()) return Error{Code::kUnavailable, "the coordinator does not listen:\n" + logs(), {}, ""};
  start_workers();
  return Done{};
}

void Cluster::start_workers() {
  if (options_.simulated) {
    const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path();
    workers_.push_back(spawn({(beside / "millrace-bench-fleet").string(), "--coordinator", endpoint_, "--workers",
                              std::to_string(options_.workers)},
                             "fleet.log"));
    return;
  }
  for (int i = 0; i < options_.workers; ++i) {
    std::vector<std::string> worker = {options_.bin_dir + "/millrace-worker", "--coordinator", endpoint_, "--id",
                                       "bench-" + std::to_string(i)};
    if (options_.curve) {
      worker.insert(worker.end(),
                    {"--curve-key", directory_ + "/worker.key", "--curve-server-key", directory_ + "/coordinator.pub"});
    }
    if (options_.slots > 0) worker.insert(worker.end(), {"--slots", std::to_string(options_.slots)});
    worker.insert(worker.end(), options_.worker_arguments.begin(), options_.worker_arguments.end());
    workers_.push_back(spawn(worker, "worker-" + std::to_string(i) + ".log"));
  }
}

void Cluster::stop() {
  for (pid_t& worker : workers_) kill(worker, SIGTERM);
  for (pid_t& worker : workers_) end(worker, SIGTERM);
  workers_.clear();
  end(coordinator_, SIGTERM);
  end(redis_, SIGKILL);
  std::error_code ignored;
  if (!directory_.empty()) fs::remove_all(directory_, ignored);
  directory_.clear();
}

Usage Cluster::usage(const std::vector<pid_t>& pids) {
  Usage sum;
  static const double kTicks = static_cast<double>(sysconf(_SC_CLK_TCK));
  // stat counts in ticks of 10 ms. Where the kernel keeps nanoseconds of each thread, they are taken for those that
  // live (ours all live as long as their process).
  auto threads_cpu_s = [](pid_t pid) {
    std::uint64_t nanos = 0;
    std::error_code ignored;
    for (const auto& thread : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", ignored)) {
      std::uint64_t one = 0;
      std::ifstream(thread.path() / "schedstat") >> one;
      nanos += one;
    }
    return static_cast<double>(nanos) / 1e9;
  };
  for (pid_t pid : pids) {
    if (pid <= 0) continue;
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text((std::istreambuf_iterator<char>(stat)), {});
    std::size_t close = text.rfind(')');
    if (close == std::string::npos) continue;
    std::istringstream fields(text.substr(close + 2));
    std::string skipped;
    for (int i = 3; i < 14; ++i) fields >> skipped;
    double user = 0, system = 0, child_user = 0, child_system = 0;  // children: interpreters that have ended
    fields >> user >> system >> child_user >> child_system;
    const double precise = threads_cpu_s(pid);
    sum.cpu_s += precise > 0 ? precise : (user + system) / kTicks;
    sum.cpu_s += (child_user + child_system) / kTicks;
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("VmRSS:", 0) == 0) sum.rss_now_mb += std::strtod(line.c_str() + 6, nullptr) / 1024;
      if (line.rfind("VmHWM:", 0) == 0) sum.rss_mb += std::strtod(line.c_str() + 6, nullptr) / 1024;
    }
    // Interpreters that are still warm.
    std::ifstream children("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
    std::vector<pid_t> below;
    for (pid_t child = 0; children >> child;) below.push_back(child);
    Usage inside = usage(below);
    sum.cpu_s += inside.cpu_s;
    sum.rss_mb += inside.rss_mb;
    sum.rss_now_mb += inside.rss_now_mb;
  }
  return sum;
}

std::int64_t Cluster::redis_bytes() const {
  if (redis_socket_.empty()) return 0;
  Result<RedisUrl> url = RedisUrl::parse("unix://" + redis_socket_);
  if (!url.ok()) return 0;
  auto redis = Redis::connect(*url, 200ms);
  if (!redis.ok()) return 0;
  auto info = (*redis)->command({"INFO", "memory"}, 2s);
  if (!info.ok()) return 0;
  auto field = [&](const std::string& name) -> std::int64_t {
    const std::size_t at = info->text.find("\n" + name + ":");
    return at == std::string::npos ? 0 : std::strtoll(info->text.c_str() + at + name.size() + 2, nullptr, 10);
  };
  return field("used_memory") - field("mem_clients_normal") - field("mem_aof_buffer");
}

std::string Cluster::logs() const {
  std::string all;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory_, ignored)) {
    if (entry.path().extension() == ".log")
      all += "--- " + entry.path().filename().string() + "\n" + tail(entry.path());
  }
  return all;
}

}  // namespace millrace::bench
