#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "common/io/redis.h"

namespace millrace {
namespace {

constexpr std::string_view kForms = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB] or unix:///PATH[?db=N] expected";

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
                 "stunnel or haproxy beside the coordinator and name it with redis:// or unix://",
                 {},
                 "redis_url"};
  }
  if (text.starts_with("unix://")) return parse_unix(text.substr(7));
  if (text.starts_with("redis://")) return parse_tcp(text.substr(8));
  return bad_url("unknown scheme");
}

std::string RedisUrl::safe() const {
  if (host.empty()) return "unix://" + path + (db == 0 ? "" : "?db=" + std::to_string(db));
  const bool ipv6 = host.find(':') != std::string::npos;
  return "redis://" + (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port) + "/" + std::to_string(db);
}

}  // namespace millrace
