// A worker written with one of the SDKs (tests/sdk/worker.py, worker.js) beside a real cluster; each test in each
// language.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/cluster.h"

namespace millrace::test {

// An interpreter that has what the SDK needs; empty: there is none.
inline const std::string& interpreter() {
  static const std::string kFound = [] {
    for (const char* python : {"python3", "/usr/bin/python3"}) {
      if (run_program({python, "-c", "import zmq, google.protobuf"}).exit_code == 0) return std::string(python);
    }
    return std::string();
  }();
  return kFound;
}

inline bool has_node_packages() {
  const std::string words =
      "for (const name of ['zeromq', 'protobufjs', 'hash-wasm', 'libsodium-wrappers']) require('" + source("sdk/node") +
      "/node_modules/' + name)";
  return run_program({"node", "-e", words}).exit_code == 0;
}

// In each language.
class Sdk : public testing::TestWithParam<const char*> {
 protected:
  static bool python() { return GetParam() == std::string_view("Python"); }
  void SetUp() override {
    if (python() && interpreter().empty()) GTEST_SKIP() << "python3-zmq and python3-protobuf are not installed";
    if (!python() && !has_node_packages()) GTEST_SKIP() << "sdk/node has not all its node_modules: `npm ci` there";
  }
  static Program start(const Cluster& cluster, const std::string& name, Variables variables = {}) {
    variables.emplace_back("MILLRACE_COORDINATOR", cluster.address());
    const std::vector<std::string> words =
        python() ? std::vector<std::string>{interpreter(), source("tests/sdk/worker.py"), name}
                 : std::vector<std::string>{"node", source("tests/sdk/worker.js"), name};
    return Program::start(words, cluster.scratch().file(name), variables);
  }
  static std::string lines(const std::string& path, const std::string& word) {
    const std::string text = read_file(path);
    std::size_t count = 0;
    for (std::size_t at = text.find(word + " "); at != std::string::npos; at = text.find(word + " ", at + 1)) ++count;
    return std::to_string(count) + " " + word;
  }
};

}  // namespace millrace::test
