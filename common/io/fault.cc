#include "common/io/fault.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <thread>

#include "common/io/log.h"

namespace millrace {
namespace {

enum class Deed : std::uint8_t { kKill, kStop, kDelay };

struct Fault {
  Deed deed = Deed::kKill;
  std::uint64_t delay_ms = 1'000;
  std::uint64_t at = 1;
  bool always = false;  // from then on
  std::uint64_t reached = 0;
};

constexpr std::array<std::string_view, kFaultPoints> kWords = {
    "accept_before_commit",     "accept_before_reply", "lease_before_send", "send_before_ack", "result_before_commit",
    "commit_before_successors", "commit_before_event", "task_before_start", "task_running",    "result_sent"};

Error bad(std::string_view entry, std::string_view why) {
  return {Code::kInvalid,
          "MILLRACE_FAULT: '" + std::string(entry) + "': " + std::string(why) +
              "; expected POINT:kill|stop|delay[=MILLISECONDS][@N[+]]",
          {},
          "fault"};
}

std::optional<FaultPoint> parse_point(std::string_view word) {
  for (std::size_t i = 0; i < kWords.size(); ++i) {
    if (kWords[i] == word) return static_cast<FaultPoint>(i);
  }
  return std::nullopt;
}

bool parse_number(std::string_view text, std::uint64_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// What follows the colon.
Result<Fault> parse_deed(std::string_view entry, std::string_view text) {
  Fault fault;
  if (const std::size_t when = text.find('@'); when != std::string_view::npos) {
    std::string_view count = text.substr(when + 1);
    if (count.ends_with('+')) {
      fault.always = true;
      count.remove_suffix(1);
    }
    if (!parse_number(count, fault.at) || fault.at == 0) return bad(entry, "not a count behind '@'");
    text = text.substr(0, when);
  }
  if (text == "kill") {
    fault.deed = Deed::kKill;
  } else if (text == "stop") {
    fault.deed = Deed::kStop;
  } else if (text == "delay" || text.starts_with("delay=")) {
    fault.deed = Deed::kDelay;
    if (text != "delay" && !parse_number(text.substr(6), fault.delay_ms)) return bad(entry, "not a number behind '='");
  } else {
    return bad(entry, "unknown deed");
  }
  return fault;
}

}  // namespace

struct FaultPlan {
  std::array<std::optional<Fault>, kFaultPoints> faults;
};

FaultPlan* fault_plan = nullptr;

std::string_view to_string(FaultPoint point) { return kWords[static_cast<std::size_t>(point)]; }

Status arm_faults(const char* plan) {
  if (plan == nullptr || *plan == '\0') return Done{};
  static FaultPlan armed;
  armed = {};
  for (std::string_view left = plan; !left.empty();) {
    const std::string_view entry = left.substr(0, left.find(','));
    left.remove_prefix(std::min(entry.size() + 1, left.size()));
    const std::size_t colon = entry.find(':');
    if (colon == std::string_view::npos) return bad(entry, "no ':'");
    const std::optional<FaultPoint> point = parse_point(entry.substr(0, colon));
    if (!point) return bad(entry, "unknown point");
    const Result<Fault> fault = parse_deed(entry, entry.substr(colon + 1));
    if (!fault.ok()) return fault.error();
    armed.faults[static_cast<std::size_t>(*point)] = *fault;
  }
  fault_plan = &armed;
  log_warn("faults are armed: this process harms itself on purpose", {{"faults", plan}});
  return Done{};
}

void reach_fault(FaultPoint point) {
  std::optional<Fault>& fault = fault_plan->faults[static_cast<std::size_t>(point)];
  if (!fault) return;
  ++fault->reached;
  if (fault->always ? fault->reached < fault->at : fault->reached != fault->at) return;
  switch (fault->deed) {
    case Deed::kKill: ::kill(getpid(), SIGKILL); break;
    case Deed::kStop: ::kill(getpid(), SIGSTOP); break;
    case Deed::kDelay: std::this_thread::sleep_for(std::chrono::milliseconds(fault->delay_ms)); break;
  }
}

}  // namespace millrace
