// Redis groups: a master with a replica and three Sentinels; three masters of a Redis Cluster. Private servers on free
// ports of loopback, gone with the object.
//
// Promises: as RedisServer. Header-only. Threads: one at a time. Fails: start() says why; empty: it runs.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/io/redis.h"
#include "tests/support/redis_server.h"

namespace millrace::test {

inline std::uint16_t free_tcp_port() {  // free a moment ago, and low enough for a Cluster's bus beside it
  for (;;) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(fd, reinterpret_cast<const sockaddr*>(&address), size);
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    close(fd);
    if (const std::uint16_t port = ntohs(address.sin_port); port < 55'000) return port;
  }
}

// Asks every 10 ms until it is so.
inline bool becomes(std::chrono::milliseconds at_most, const std::function<bool()>& is_so) {
  const auto deadline = std::chrono::steady_clock::now() + at_most;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

// A Redis that listens on TCP, too.
class TcpRedis {
 public:
  explicit TcpRedis(std::vector<std::string> more = {}, Append append = Append::kNo)
      : port_(free_tcp_port()), server_(append, with_port(port_, std::move(more))) {}
  bool start() { return server_.start(); }
  RedisServer& server() { return server_; }
  std::uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string url() const { return "redis://" + address() + "/0"; }

  RedisReply raw(const std::vector<std::string>& words) const {
    auto redis = Redis::connect(RedisUrl::parse(server_.url()).value(), 2s);
    if (!redis.ok()) return {};
    std::vector<std::string_view> args(words.begin(), words.end());
    auto reply = redis.value()->command(args, 5s);
    return reply.ok() ? *reply : RedisReply{};
  }

 private:
  static std::vector<std::string> with_port(std::uint16_t port, std::vector<std::string> more) {
    std::vector<std::string> words = {"--port", std::to_string(port), "--bind", "127.0.0.1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::uint16_t port_;
  RedisServer server_;
};

class Sentinel {
 public:
  Sentinel() : port_(free_tcp_port()) {
    std::string pattern = (std::filesystem::temp_directory_path() / "mr-sentinel-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) directory_ = pattern;
  }
  ~Sentinel() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  void start(std::uint16_t master, int quorum) {
    const std::string config = directory_ + "/sentinel.conf";
    std::ofstream(config)
        << "port " << port_ << "\nbind 127.0.0.1\ndir " << directory_ << "\nlogfile " << directory_
        << "/log\nsentinel monitor mymaster 127.0.0.1 " << master << " " << quorum
        << "\nsentinel down-after-milliseconds mymaster 600\nsentinel failover-timeout mymaster 3000\n"
           "sentinel parallel-syncs mymaster 1\n";
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    execlp("redis-server", "redis-server", config.c_str(), "--sentinel", nullptr);
    _exit(127);
  }
  std::uint16_t port() const { return port_; }
  // What it says to `words`; nothing while it does not answer.
  RedisReply raw(const std::vector<std::string>& words) const {
    RedisUrl url;
    url.host = "127.0.0.1";
    url.port = port_;
    auto redis = Redis::connect(url, 500ms);
    if (!redis.ok()) return {};
    std::vector<std::string_view> args(words.begin(), words.end());
    auto reply = redis.value()->command(args, 1s);
    return reply.ok() ? *reply : RedisReply{};
  }

 private:
  std::uint16_t port_;
  std::string directory_;
  pid_t pid_ = -1;
};

class SentinelGroup {
 public:
  explicit SentinelGroup(Append append = Append::kNo) {
    for (int i = 0; i < 2; ++i)
      redis_.push_back(std::make_unique<TcpRedis>(
          std::vector<std::string>{"--repl-diskless-sync-delay", "0", "--replica-serve-stale-data", "yes"}, append));
  }
  std::string start() {
    for (auto& one : redis_)
      if (!one->start()) return one->server().error();
    redis_[1]->raw({"REPLICAOF", "127.0.0.1", std::to_string(redis_[0]->port())});
    if (!becomes(10s, [&] { return in_sync(); })) return "the replica does not come in sync";
    for (Sentinel& sentinel : sentinels_) sentinel.start(redis_[0]->port(), 2);
    const bool ready = becomes(20s, [&] {
      for (Sentinel& sentinel : sentinels_) {
        const RedisReply master = sentinel.raw({"SENTINEL", "MASTER", "mymaster"});
        if (field(master, "num-slaves") != "1" || field(master, "num-other-sentinels") != "2") return false;
      }
      return true;
    });
    return ready ? "" : "the Sentinels do not find each other";
  }
  bool in_sync() const {
    return redis_[1]->raw({"INFO", "replication"}).text.find("master_link_status:up") != std::string::npos;
  }
  TcpRedis& master() { return *redis_[0]; }  // at first
  TcpRedis& replica() { return *redis_[1]; }
  std::string url() const {
    std::string text = "sentinel://";
    for (int i = 0; i < 3; ++i) text += (i == 0 ? "127.0.0.1:" : ",127.0.0.1:") + std::to_string(sentinels_[i].port());
    return text + "/mymaster/0";
  }
  static std::string field(const RedisReply& reply, std::string_view name) {
    for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2)
      if (reply.items[i].text == name) return reply.items[i + 1].text;
    return "";
  }

 private:
  std::vector<std::unique_ptr<TcpRedis>> redis_;
  Sentinel sentinels_[3];
};

class ClusterGroup {
 public:
  ClusterGroup() {
    for (int i = 0; i < 3; ++i)
      nodes_.push_back(std::make_unique<TcpRedis>(
          std::vector<std::string>{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000"}));
  }
  std::string start() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (!nodes_[i]->start()) return nodes_[i]->server().error();
      const int first = static_cast<int>(i) * 5461;
      const int last = i == 2 ? 16383 : first + 5460;
      nodes_[i]->raw({"CLUSTER", "ADDSLOTSRANGE", std::to_string(first), std::to_string(last)});
      nodes_[i]->raw({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)});
      if (i > 0) nodes_[i]->raw({"CLUSTER", "MEET", "127.0.0.1", std::to_string(nodes_[0]->port())});
    }
    const bool ready = becomes(20s, [&] {
      for (auto& node : nodes_) {
        const std::string info = node->raw({"CLUSTER", "INFO"}).text;
        if (info.find("cluster_state:ok") == std::string::npos) return false;
        if (info.find("cluster_known_nodes:3") == std::string::npos) return false;
      }
      return true;
    });
    return ready ? "" : "the Redis Cluster does not come up: " + nodes_[0]->raw({"CLUSTER", "INFO"}).text;
  }
  TcpRedis& node(std::size_t i) { return *nodes_[i]; }
  std::string id(std::size_t i) const { return nodes_[i]->raw({"CLUSTER", "MYID"}).text; }
  std::string url() const {
    std::string text = "cluster://";
    for (std::size_t i = 0; i < nodes_.size(); ++i) text += (i == 0 ? "" : ",") + nodes_[i]->address();
    return text;
  }
  // Moves a slot with its keys, `at_once` keys a step, as redis-cli does. `between` is called after each step.
  void move(
      std::uint16_t slot, std::size_t from, std::size_t to, const std::function<void()>& between = [] {}) {
    const std::string text = std::to_string(slot);
    node(to).raw({"CLUSTER", "SETSLOT", text, "IMPORTING", id(from)});
    node(from).raw({"CLUSTER", "SETSLOT", text, "MIGRATING", id(to)});
    for (;;) {
      between();
      const RedisReply keys = node(from).raw({"CLUSTER", "GETKEYSINSLOT", text, "1"});
      if (keys.items.empty()) break;
      node(from).raw({"MIGRATE", "127.0.0.1", std::to_string(node(to).port()), keys.items[0].text, "0", "5000"});
    }
    for (const std::size_t i : {to, from, std::size_t{3} - to - from})
      node(i).raw({"CLUSTER", "SETSLOT", text, "NODE", id(to)});
  }

 private:
  std::vector<std::unique_ptr<TcpRedis>> nodes_;
};

}  // namespace millrace::test
