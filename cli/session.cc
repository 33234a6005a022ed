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
Option timeout_option(std::string_view help) { return {"timeout", 't', Takes::kDuration, "DURATION", help}; }
Option watch_option() { return {"watch", 'w', Takes::kNothing, "", "show it again as it changes"}; }

Result<Session> connect(const CommandContext& context, const Arguments& arguments, bool waits) {
  const char* named = context.environment("MILLRACE_COORDINATOR");
  std::string text = named == nullptr || *named == '\0' ? std::string(kDefaultCoordinator) : std::string(named);
  if (arguments.given("coordinator")) text = arguments.text("coordinator");
  Result<std::vector<std::string>> endpoints = parse_endpoints(text);
  if (!endpoints.ok()) return std::move(endpoints).error();

  Session session;
  std::optional<Duration> timeout = arguments.duration("timeout");
  Duration connect_timeout = kConnectTimeout;
  if (timeout) connect_timeout = waits ? std::min(kConnectTimeout, *timeout) : *timeout;
  if (timeout && !waits) session.answer = *timeout;
  ClientOptions options;
  options.endpoints = std::move(*endpoints);
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
