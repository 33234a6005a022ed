// Endpoints: what may be bound and connected to, and with which keys.
#include <charconv>
#include <string>
#include <string_view>

#include "common/io/net_address.h"
#include "common/io/zmq_socket.h"

namespace millrace {
namespace {

constexpr std::size_t kIpcPathMax = 107;  // sun_path with its terminating zero

struct TcpAddress {
  std::string_view host;  // with its brackets where it is IPv6
  std::string_view port;
};

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<TcpAddress> split_tcp(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  TcpAddress address{text.substr(0, colon), text.substr(colon + 1)};
  const bool bracketed = address.host.front() == '[' && address.host.back() == ']' && address.host.size() > 2;
  if (!bracketed && address.host.find_first_of(":[]/@;, ") != std::string_view::npos) return std::nullopt;
  return address;
}

bool is_port(std::string_view text, bool wildcard) {
  if (text == "*") return wildcard;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number <= 65535 && (wildcard || number > 0);
}

Error malformed(std::string_view endpoint) {
  return {Code::kInvalid,
          "endpoint " + std::string(endpoint) + ": tcp://HOST:PORT, ipc://PATH or inproc://NAME expected",
          {},
          "endpoint"};
}

Status check_form(std::string_view endpoint, bool bind) {
  std::string_view rest = endpoint;
  if (take_prefix(rest, "tcp://")) {
    const std::optional<TcpAddress> address = split_tcp(rest);
    if (!address || !is_port(address->port, bind) || (!bind && address->host == "*")) return malformed(endpoint);
    return Done{};
  }
  if (take_prefix(rest, "ipc://")) {
    if (rest.size() > kIpcPathMax) {
      return Error{
          Code::kInvalid,
          "endpoint " + std::string(endpoint) + ": the path is longer than " + std::to_string(kIpcPathMax) + " bytes",
          {},
          "endpoint"};
    }
    if (!rest.empty()) return Done{};
  } else if (take_prefix(rest, "inproc://") && !rest.empty()) {
    return Done{};
  }
  return malformed(endpoint);
}

}  // namespace

bool is_local_endpoint(std::string_view endpoint) {
  if (!take_prefix(endpoint, "tcp://")) return endpoint.starts_with("ipc://") || endpoint.starts_with("inproc://");
  const std::optional<TcpAddress> address = split_tcp(endpoint);
  return address && is_loopback_host(address->host);
}

Status check_bind_endpoint(std::string_view endpoint, bool allow_remote) {
  if (Status form = check_form(endpoint, true); !form.ok()) return form;
  if (allow_remote || is_local_endpoint(endpoint)) return Done{};
  return Error{Code::kRefused,
               "bind to " + std::string(endpoint) +
                   ": other machines could reach it, and peers are not authenticated; give this coordinator a key "
                   "(--curve-key and --curve-authorized), listen on 127.0.0.1, [::1] or ipc://, or say "
                   "--insecure-listen on a network that only trusted machines share",
               {},
               "remote_bind"};
}

Result<std::optional<CurveClient>> read_curve_client(const std::string& key_file, const std::string& server_key) {
  if (key_file.empty() && server_key.empty()) return std::optional<CurveClient>();
  if (key_file.empty() || server_key.empty()) {
    const bool own = server_key.empty();
    return Error{Code::kInvalid,
                 std::string(own ? "--curve-key needs --curve-server-key: the public key of the coordinators"
                                 : "--curve-server-key needs --curve-key: a secret key of our own"),
                 {},
                 "usage"};
  }
  Result<KeyFile> mine = read_secret_key_file(key_file);
  if (!mine.ok()) return Error{Code::kInvalid, "--curve-key: " + mine.error().what, {}, mine.error().name};
  Result<std::string> theirs = read_public_key(server_key);
  if (!theirs.ok()) return Error{Code::kInvalid, "--curve-server-key: " + theirs.error().what, {}, theirs.error().name};
  return std::optional<CurveClient>(
      CurveClient{{mine->key.public_key, std::move(mine->secret)}, std::move(theirs).value()});
}

Status check_connect_endpoint(std::string_view endpoint) { return check_form(endpoint, false); }

}  // namespace millrace
