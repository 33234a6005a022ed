// StandIn: tests/llm/stand_in.py as a program of the test's, on a port of its own. Header-only.
//
// Promises: gone with the object. Fails: by a test failure.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/support/process.h"

namespace millrace::test {

class StandIn {
 public:
  explicit StandIn(const std::vector<std::string>& more = {}) : program_(start(more)) {
    EXPECT_TRUE(eventually(20s, [&] { return program_.out().find('\n') != std::string::npos; })) << program_.err();
    url_ = program_.out();
    url_ = url_.substr(0, url_.find('\n'));
  }
  const std::string& url() const { return url_; }                        // http://127.0.0.1:PORT/v1
  std::string web() const { return url_.substr(0, url_.rfind("/v1")); }  // of the plain web service
  std::string host_port() const { return web().substr(std::string("http://").size()); }

 private:
  Program start(const std::vector<std::string>& more) {
    std::vector<std::string> words = {"python3", source("tests/llm/stand_in.py"), "--port", "0"};
    words.insert(words.end(), more.begin(), more.end());
    return Program::start(words, scratch_.file("stand-in"));
  }
  ScratchDirectory scratch_;
  Program program_;
  std::string url_;
};

}  // namespace millrace::test
