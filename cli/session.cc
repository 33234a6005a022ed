#include "cli/session.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "cli/render.h"

namespace millrace {
namespace {

constexpr Duration kWatchEvery = 1s;

constexpr std::string_view kHomeAndClear = "\x1b[H\x1b[2J";

}  // namespace

Option coordinator_option() {
  return {"coordinator", 'c', Takes::kText, "ENDPOINT[,...]",
          "where the cluster is: tcp://HOST:PORT (environment: MILLRACE_COORDINATOR; default: tcp://127.0.0.1:5711)"};
}
std::vector<Option> key_options() {
  return {{"curve-key",
           0,
           Takes::kText,
           "FILE",
           "our secret key, where the cluster requires one (environment: MILLRACE_CURVE_KEY)",
           false,
           {},
           Completes::kFile},
          {"curve-server-key",
           0,
           Takes::kText,
           "FILE|KEY",
           "the coordinators' public key: a file, or the key itself (environment: MILLRACE_CURVE_SERVER_KEY)",
           false,
           {},
           Completes::kFile}};
}
Option timeout_option(std::string_view help) { return {"timeout", 't', Takes::kDuration, "DURATION", help}; }
Option watch_option() { return {"watch", 'w', Takes::kNothing, "", "show it again as it changes"}; }

namespace {

// A flag, else its variable; empty where neither is given.
std::string setting(const CommandContext& context, const Arguments& arguments, std::string_view flag,
                    const char* variable) {
  if (arguments.given(flag)) return arguments.text(flag);
  const char* value = context.environment(variable);
  return value == nullptr ? "" : value;
}

}  // namespace

Result<Session> connect(const CommandContext& context, const Arguments& arguments, bool waits) {
  std::string text = setting(context, arguments, "coordinator", "MILLRACE_COORDINATOR");
  if (text.empty() && !arguments.given("coordinator")) text = kDefaultCoordinator;
  Result<std::vector<std::string>> endpoints = parse_endpoints(text);
  if (!endpoints.ok()) return std::move(endpoints).error();
  Result<std::optional<CurveClient>> curve =
      read_curve_client(setting(context, arguments, "curve-key", "MILLRACE_CURVE_KEY"),
                        setting(context, arguments, "curve-server-key", "MILLRACE_CURVE_SERVER_KEY"));
  if (!curve.ok()) return std::move(curve).error();

  Session session;
  std::optional<Duration> timeout = arguments.duration("timeout");
  Duration connect_timeout = kConnectTimeout;
  if (timeout) connect_timeout = waits ? std::min(kConnectTimeout, *timeout) : *timeout;
  if (timeout && !waits) session.answer = *timeout;
  ClientOptions options;
  options.endpoints = std::move(*endpoints);
  options.curve = std::move(*curve);
  session.context = std::make_unique<ZmqContext>();
  session.client = std::make_unique<Client>(*session.context, std::move(options));
  Result<PingReply> ping = session.client->connect(connect_timeout);
  if (!ping.ok()) return std::move(ping).error();
  session.ping = std::move(*ping);
  return session;
}

std::string caller_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const passwd* user = ::getpwuid(::geteuid());
  std::string name = user == nullptr ? std::to_string(::geteuid()) : std::string(user->pw_name);
  return name + "@" + (host[0] == '\0' ? "localhost" : host.data());
}

RunName run_name(const std::string& text) { return {text, caller_name()}; }

Result<int> show_or_watch(const CommandContext& context, const Arguments& arguments,
                          const std::function<Result<Shown>()>& show) {
  const Console& console = context.console;
  bool watching = arguments.given("watch");
  bool redraw = watching && console.out_terminal && is_for_people(output_format(arguments));
  std::string before;
  for (;;) {
    Result<Shown> shown = show();
    if (!shown.ok()) return std::move(shown).error();
    if (shown->text != before || !watching) {
      std::string text = redraw ? std::string(kHomeAndClear) + shown->text : shown->text;
      if (!console.out(text)) return shown->code;
      before = shown->text;
    }
    if (!watching || shown->last) return shown->code;
    std::this_thread::sleep_for(kWatchEvery);
  }
}

}  // namespace millrace
