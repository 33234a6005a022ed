// Endpoint: a web service on loopback that costs as little as it can, so that what is measured is who asks it.
//
// Promises: GET answers a JSON text; POST answers as an OpenAI-compatible endpoint that streams the same text.
// Connections are kept. It is no model and thinks nothing. Threads: one of its own; the rest from the thread that made
// it. Fails: start() is kUnavailable where no port of loopback can be had.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"

namespace millrace::bench {

class Endpoint {
 public:
  static Result<std::unique_ptr<Endpoint>> start(const std::string& text);
  virtual ~Endpoint() = default;        // closes what is open
  virtual std::string url() const = 0;  // http://127.0.0.1:PORT
  virtual double cpu_s() const = 0;     // that its thread has used, for what is measured besides
};

}  // namespace millrace::bench
