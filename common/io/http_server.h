// HttpServer: a small HTTP/1.1 server for operators, on a thread of its own. Only http_server.cc sees Boost.Beast.
//
// Promises: GET and HEAD only, but for the paths under `posts_under`: those take POST, with a body, and no token of
// the server's (who answers them knows their senders). Everything is bounded: header, body, connections, the time to
// send a request, to answer it and to take the answer. When connections run out, the one that has kept us waiting
// longest is closed, so that clients that say nothing cannot shut out a probe. Malformed and oversized requests are
// answered (400, 413, 431) and the connection is closed. Where a token is set, every path but the open ones needs
// `Authorization: Bearer TOKEN`. Beyond loopback it listens only with a token, or where that is allowed in so many
// words. Threads: the handler is called on the server's thread; its answer may be given once, from any thread, while
// the server lives. The rest may be called from the thread that made it. Fails: start() names the address: kInvalid
// (not HOST:PORT), kRefused ("remote_bind"), kUnavailable (cannot bind).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace {

struct HttpRequest {
  std::string path;       // from its slash up to the question mark
  std::string query;      // behind it
  std::string body = {};  // of a POST, and its headers by names in lower case
  std::vector<std::pair<std::string, std::string>> headers = {};
};

struct HttpReply {
  unsigned status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  Duration retry_after = {};  // more than zero: said in whole seconds
};

using HttpAnswer = std::function<void(HttpReply reply)>;
using HttpHandler = std::function<void(const HttpRequest& request, HttpAnswer answer)>;

struct HttpOptions {
  std::string listen;            // HOST:PORT; port 0: any that is free
  std::string token;             // empty: none
  bool insecure_listen = false;  // beyond loopback without a token
  std::vector<std::string> open_paths = {"/livez", "/readyz"};
  std::string posts_under = {};         // "/v1/hooks/"; empty: no POST anywhere
  std::uint64_t post_max = 256 * 1024;  // bytes of the body of a POST
  std::size_t post_headers_max = 64;
  HttpHandler handler;
  std::function<HttpReply(const HttpRequest&)> late;  // what to say when the handler has not answered in time
  std::size_t connections_max = 128;
  std::uint32_t header_max = 8 * 1024;
  std::uint64_t body_max = 16 * 1024;  // read and ignored
  Duration request_max = 5s;           // from the end of the last answer to the end of the next request
  Duration answer_max = 2s;
  Duration write_max = 5s;
};

struct HttpCounts {
  std::map<unsigned, std::uint64_t> replies;  // by status
  std::uint64_t connections = 0;              // open now
  std::uint64_t evicted = 0;                  // closed to make room
  std::uint64_t timed_out = 0;                // closed because the client was too slow
};

class HttpServer {
 public:
  static Result<std::unique_ptr<HttpServer>> start(HttpOptions options);
  virtual ~HttpServer() = default;                  // closes what is open; returns when its thread has ended
  virtual const std::string& address() const = 0;   // HOST:PORT with the port that was taken
  virtual void run(std::function<void()> job) = 0;  // on the server's thread; from any
  virtual HttpCounts counts() const = 0;            // on the server's thread only
};

// HOST:PORT in its parts; the host of an IPv6 address without its brackets. Fails: kInvalid.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
Result<HostPort> parse_host_port(std::string_view text);

}  // namespace millrace
