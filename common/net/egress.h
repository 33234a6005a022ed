// Egress: the one door for outgoing HTTP requests: those of http and llm tasks, and web hooks. Only egress.cc sees
// curl.
//
// Promises: thousands of requests in flight on the loop's one thread; on_done() exactly once a request unless it is
// cancelled, never from within start(). Every connection goes to an address that the rules allow, checked after the
// name was resolved, for the very address that is connected to; each redirect is a new request that is checked again,
// and loses what is meant for the first origin alone (Authorization, Cookie, `private_headers`). http and https only;
// certificates are verified; proxies of the environment are not used. Time, size and headers are bounded. Errors name
// the URL without its query and its credentials.
// Threads: the loop's. Owner: whoever made it; the loop outlives it. Its end cancels everything.
// Fails: Error::name is "egress" (kRefused), "too_large" (kInvalid), "timeout" (kTimeout), "url" (kInvalid), "connect"
// (kUnavailable: not resolved, not connected, broken off).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/net/egress_rules.h"
#include "common/net/net_loop.h"

namespace millrace {

using EgressId = Id<struct EgressTag>;

struct FormPart {
  std::string name;
  std::string data;
  std::string file_name = {};  // empty: a plain field
  std::string type = {};
};

struct OutgoingRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  bool has_body = false;
  std::vector<FormPart> form = {};                // multipart/form-data, instead of a body
  std::vector<std::string> private_headers = {};  // for the first origin alone
  bool follow = true;
  int redirects_max = 10;
  std::size_t body_max = 10 * 1024 * 1024;  // of the answer, decompressed
  Duration connect_max = 10s;
  Duration idle_max = 120s;  // without a byte
  Duration total_max = 1h;
  // Gets the answer's body as it comes, if its status is 2xx; it is not kept then. False: break off.
  std::function<bool(std::string_view bytes)> on_data = {};
};

struct OutgoingReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string url;                                         // after redirects, without query and credentials
  const std::string* header(std::string_view name) const;  // the last of that name; null: none
};

class Egress {
 public:
  using Done = std::function<void(Result<OutgoingReply>)>;

  static std::unique_ptr<Egress> make(NetLoop& loop, EgressRules rules);
  virtual ~Egress() = default;
  virtual EgressId start(OutgoingRequest request, Done on_done) = 0;
  virtual void cancel(EgressId id) = 0;  // on_done() will not be called; unknown ids are ignored
  virtual std::size_t in_flight() const = 0;
};

// The parts of a URL that may be shown: no query, no fragment, no credentials.
std::string shown_url(const std::string& url);
// Host and port that a URL leads to. Fails: kInvalid, name "url": not http or https, or not a URL.
Result<std::pair<std::string, std::uint16_t>> origin_of(const std::string& url);
// Adds `name=value`, percent-encoded, to the query of a URL.
std::string with_query(const std::string& url, const std::vector<std::pair<std::string, std::string>>& more);
std::string percent_encoded(std::string_view text);

}  // namespace millrace
