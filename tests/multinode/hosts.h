// Hosts: network namespaces as machines, each with an address of its own, on one virtual switch; links that are cut and
// healed.
//
// Promises: nothing outside its own namespaces is touched; all is gone with the object. Threads: a test's main one.
// Fails: problem() says what the kernel refused; then nothing else may be called.
#pragma once

#include <unistd.h>

#include <string>
#include <vector>

#include "tests/support/process.h"

namespace millrace::test {

class Hosts {
 public:
  explicit Hosts(std::size_t count) : prefix_("mr" + std::to_string(getpid())) {
    if (!ip({"netns", "add", net()})) return;
    if (!ip({"-n", net(), "link", "add", "switch", "type", "bridge"})) return;
    if (!ip({"-n", net(), "link", "set", "switch", "up"})) return;
    for (std::size_t i = 0; i < count && problem_.empty(); ++i) add(i);
  }
  ~Hosts() {
    for (std::size_t i = 0; i < added_; ++i) run_program({"ip", "netns", "del", name(i)});
    run_program({"ip", "netns", "del", net()});
  }
  Hosts(const Hosts&) = delete;
  Hosts& operator=(const Hosts&) = delete;

  const std::string& problem() const { return problem_; }
  std::string address(std::size_t host) const { return "10.77.0." + std::to_string(11 + host); }
  // A command line that runs there.
  std::vector<std::string> at(std::size_t host, std::vector<std::string> words) const {
    words.insert(words.begin(), {"ip", "netns", "exec", name(host)});
    return words;
  }
  void cut(std::size_t host) { (void)ip({"-n", net(), "link", "set", port(host), "down"}); }
  void heal(std::size_t host) { (void)ip({"-n", net(), "link", "set", port(host), "up"}); }

 private:
  std::string net() const { return prefix_ + "net"; }
  std::string name(std::size_t host) const { return prefix_ + "h" + std::to_string(host); }
  static std::string port(std::size_t host) { return "port" + std::to_string(host); }
  bool ip(std::vector<std::string> words) {
    words.insert(words.begin(), "ip");
    const Finished done = run_program(words);
    if (done.exit_code != 0 && problem_.empty()) {
      problem_ = "ip " + words[1] + " " + words[2] + " ...: " + (done.err.empty() ? "no such program" : done.err);
      while (problem_.ends_with('\n')) problem_.pop_back();
    }
    return done.exit_code == 0;
  }
  void add(std::size_t i) {
    if (!ip({"netns", "add", name(i)})) return;
    added_ = i + 1;
    (void)(ip({"-n", name(i), "link", "add", "eth0", "type", "veth", "peer", "name", port(i), "netns", net()}) &&
           ip({"-n", net(), "link", "set", port(i), "master", "switch"}) &&
           ip({"-n", net(), "link", "set", port(i), "up"}) &&
           ip({"-n", name(i), "address", "add", address(i) + "/24", "dev", "eth0"}) &&
           ip({"-n", name(i), "link", "set", "eth0", "up"}) && ip({"-n", name(i), "link", "set", "lo", "up"}));
  }

  std::string prefix_;
  std::string problem_;
  std::size_t added_ = 0;
};

}  // namespace millrace::test
