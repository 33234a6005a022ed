#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "common/io/redis.h"
#include "common/io/redis_net.h"

namespace millrace {
namespace {

constexpr std::string_view kForms =
    "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], unix:///PATH[?db=N], sentinel://HOST:PORT[,...]/MASTER[/DB] or "
    "cluster://HOST:PORT[,...] expected";

// Says what is wrong without repeating the text: it may hold a password.
Error bad_url(std::string_view why) {
  return {Code::kInvalid, "redis URL: " + std::string(why) + "; " + std::string(kForms), {}, "redis_url"};
}

template <class T>
bool parse_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

std::optional<std::string> decode_percent(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    unsigned byte = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
    if (error != std::errc{} || end != text.data() + i + 3) return std::nullopt;
    out.push_back(static_cast<char>(byte));
    i += 2;
  }
  return out;
}

Result<RedisUrl> parse_unix(std::string_view rest) {
  RedisUrl url;
  const std::size_t query = rest.find('?');
  url.path = rest.substr(0, query);
  if (url.path.empty() || url.path[0] != '/') return bad_url("the socket's path must be absolute");
  if (query == std::string_view::npos) return url;
  std::string_view option = rest.substr(query + 1);
  if (!option.starts_with("db=") || !parse_number(option.substr(3), url.db)) return bad_url("only ?db=N may follow");
  return url;
}

Status parse_user_info(std::string_view info, RedisUrl& url) {
  const std::size_t colon = info.find(':');
  if (colon == std::string_view::npos) return bad_url("a user without a password");
  std::optional<std::string> user = decode_percent(info.substr(0, colon));
  std::optional<std::string> password = decode_percent(info.substr(colon + 1));
  if (!user || !password || password->empty()) return bad_url("malformed credentials");
  url.user = *user;
  url.password = *password;
  return Done{};
}

Result<RedisUrl> parse_tcp(std::string_view rest) {
  RedisUrl url;
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    if (Status s = parse_user_info(rest.substr(0, at), url); !s.ok()) return s.error();
    rest.remove_prefix(at + 1);
  }
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view db = rest.substr(slash + 1);
    if (!db.empty() && !parse_number(db, url.db)) return bad_url("the database must be a number");
    rest = rest.substr(0, slash);
  }
  std::string_view host = rest;
  if (rest.starts_with('[')) {  // IPv6
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return bad_url("a [ without its ]");
    host = rest.substr(1, close - 1);
    rest = rest.substr(close + 1);
  } else {
    host = rest.substr(0, rest.find(':'));
    rest = rest.substr(host.size());
  }
  if (host.empty()) return bad_url("no host");
  if (!rest.empty() && (rest[0] != ':' || !parse_number(rest.substr(1), url.port) || url.port == 0)) {
    return bad_url("the port must be a number from 1 to 65535");
  }
  url.host = host;
  return url;
}

}  // namespace

Result<RedisUrl> RedisUrl::parse(std::string_view text) {
  if (text.starts_with("rediss://")) {
    return Error{Code::kInvalid,
                 "redis URL: rediss:// (TLS) is not supported: hiredis 0.14 cannot do it; run a TLS tunnel such as "
                 "stunnel or haproxy beside the coordinator and name it with redis:// or unix:// (docs/durability.md)",
                 {},
                 "redis_url"};
  }
  if (text.starts_with("unix://")) return parse_unix(text.substr(7));
  if (text.starts_with("redis://")) return parse_tcp(text.substr(8));
  return bad_url("unknown scheme");
}

// HOST[:PORT],HOST[:PORT]...
static Result<std::vector<RedisUrl>> parse_seeds(std::string_view text, std::uint16_t port) {
  std::vector<RedisUrl> seeds;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view one = text.substr(0, comma);
    if (one.find_first_of("@/") != std::string_view::npos) return bad_url("a host expected between the commas");
    Result<RedisUrl> seed = parse_tcp(one);
    if (!seed.ok()) return seed.error();
    const std::size_t colon = one.rfind(':');
    if (colon == std::string_view::npos || one.ends_with(']')) seed->port = port;
    seeds.push_back(std::move(*seed));
    if (comma == std::string_view::npos) return seeds;
    text.remove_prefix(comma + 1);
  }
}

Result<RedisTarget> RedisTarget::parse(std::string_view text) {
  static constexpr std::string_view kSentinel = "sentinel://";
  static constexpr std::string_view kCluster = "cluster://";
  RedisTarget target;
  if (text.starts_with(kSentinel)) target.kind = Kind::kSentinel;
  else if (text.starts_with(kCluster)) target.kind = Kind::kCluster;
  if (target.kind == Kind::kStandalone) {
    Result<RedisUrl> url = RedisUrl::parse(text);
    if (!url.ok()) return url.error();
    return standalone(*url);
  }
  const bool sentinel = target.kind == Kind::kSentinel;
  text.remove_prefix(sentinel ? kSentinel.size() : kCluster.size());
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
    if (Status s = parse_user_info(text.substr(0, at), target.login); !s.ok()) return s.error();
    text.remove_prefix(at + 1);
  }
  const std::size_t slash = text.find('/');
  std::string_view path = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  Result<std::vector<RedisUrl>> seeds = parse_seeds(text.substr(0, slash), sentinel ? 26'379 : 6'379);
  if (!seeds.ok()) return seeds.error();
  target.seeds = std::move(*seeds);
  if (!sentinel) {
    if (!path.empty()) return bad_url("a Redis Cluster has no databases");
    return target;
  }
  const std::size_t db = path.find('/');
  target.master = path.substr(0, db);
  if (target.master.empty()) return bad_url("the name of the master is missing");
  if (db != std::string_view::npos && !parse_number(path.substr(db + 1), target.login.db))
    return bad_url("the database must be a number");
  return target;
}

std::string RedisUrl::safe() const {
  if (host.empty()) return "unix://" + path + (db == 0 ? "" : "?db=" + std::to_string(db));
  const bool ipv6 = host.find(':') != std::string::npos;
  return "redis://" + (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port) + "/" + std::to_string(db);
}

}  // namespace millrace
