// Loop: workflows and queues that operators pause: asked of the home of their name, told by whoever is asked.
#include <utility>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

std::string check(const PauseScope& scope) {
  const PauseName& what = scope.what;
  if (what.name.empty() || what.name.size() > kPauseNameMax) return "name of what is paused: 1 to 256 bytes";
  const bool of_tenant = what.kind == PauseKind::kWorkflow;
  if (of_tenant == what.tenant.empty() || what.tenant.size() > kPauseNameMax)
    return of_tenant ? "tenant: 1 to 256 bytes" : "a queue is of no tenant";
  if (scope.caller.size() > kPauseNameMax) return "caller: at most 256 bytes";
  return scope.why.size() > kPauseWhyMax ? "reason: at most 1 KiB" : "";
}

}  // namespace

// True: the request was one of these.
bool Loop::State::answer_about_pauses(Time now, Routed& one) {
  if (const auto* query = std::get_if<ListPauses>(&one.body)) {
    PausesReply ours = pauses_view(query->tenant);
    if (one.hops == 0) gather(now, one.request, one.body, std::move(ours));
    else reply(one.request, std::move(ours));
    return true;
  }
  auto* scope = std::get_if<PauseScope>(&one.body);
  if (scope == nullptr) return false;
  on_pause(now, one.request, *scope);
  return true;
}

void Loop::State::on_pause(Time now, RequestId request, PauseScope& scope) {
  if (std::string wrong = check(scope); !wrong.empty()) return refuse(request, {Code::kInvalid, wrong, {}, ""});
  Share& home = share(millrace::home_of(scope.what, static_cast<std::uint16_t>(shares.size())));
  if (!home.serving()) return refuse(request, not_serving(home.id));
  options.note(LoopNote::kInfo, std::string(scope.pause ? "pause" : "resume") + " of " + describe(scope.what) +
                                    " asked for by '" + scope.caller + "'" +
                                    (scope.why.empty() ? "" : ": " + scope.why));
  home.core->step(
      now,
      PauseWanted{request, {std::move(scope.what), {}, std::move(scope.caller), std::move(scope.why)}, scope.pause});
}

PausesReply Loop::State::pauses_view(const std::string& tenant) const {
  PausesReply all;
  for (const Share& share : shares) {
    if (!share.serving()) continue;
    for (Pause& pause : share.core->pauses_decided()) {
      if (tenant.empty() || pause.what.tenant.empty() || pause.what.tenant == tenant)
        all.pauses.push_back(std::move(pause));
    }
  }
  return all;
}

std::vector<Finding> Loop::State::pauses_found() const {
  std::vector<Finding> findings;
  for (const Pause& pause : pauses_view("").pauses) {
    const bool workflow = pause.what.kind == PauseKind::kWorkflow;
    findings.push_back(
        {"note", "configuration", pause.what.name, describe(pause) + ": nothing of it is started",
         std::string("millrace resume --") + (workflow ? "workflow " : "queue ") + pause.what.name + " lets it go on"});
  }
  return findings;
}

}  // namespace millrace
