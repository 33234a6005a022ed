// Session: a verb's connection to a cluster, and the options that say which and how long.
#pragma once

#include <memory>
#include <string>

#include "cli/client.h"
#include "cli/verb.h"

namespace millrace {

constexpr Duration kConnectTimeout = 5s;
constexpr Duration kAnswerTimeout = 30s;  // of one request, unless --timeout says otherwise
constexpr std::string_view kDefaultCoordinator = "tcp://127.0.0.1:5711";

Option coordinator_option();
std::vector<Option> key_options();  // of every verb that has coordinator_option(): app.cc adds them
Option timeout_option(std::string_view help = "give up after this long (default: 5s to connect, 30s for an answer)");
Option watch_option();

struct Session {
  std::unique_ptr<ZmqContext> context;  // before the client: it outlives its sockets
  std::unique_ptr<Client> client;
  PingReply ping;
  Duration answer = kAnswerTimeout;

  template <class Reply>
  Result<Reply> call(OperatorRequest request) {
    return client->call_for<Reply>(std::move(request), answer);
  }
  ReadPayload reader() { return client->reader(answer); }
};

// --coordinator, else MILLRACE_COORDINATOR, else kDefaultCoordinator; likewise --curve-key and --curve-server-key.
// Errors: kUnavailable, kInvalid, and what ConnectionFaults says.
// `waits`: --timeout is how long to wait for a run, so an answer may take its usual time.
Result<Session> connect(const CommandContext& context, const Arguments& arguments, bool waits = false);

// "user@host": whose @latest it is.
std::string caller_name();
// The operand RUN; "@latest" where it may be left out.
RunName run_name(const std::string& text);

// Calls `show` now and, with --watch, every second until it says that nothing more will change. On a terminal the
// picture is redrawn in place; elsewhere it is printed when it changed. `show` fills `text`.
struct Shown {
  std::string text;
  bool last = false;
  int code = 0;
};
Result<int> show_or_watch(const CommandContext& context, const Arguments& arguments,
                          const std::function<Result<Shown>()>& show);

}  // namespace millrace
