// Triggers: what starts runs of a workflow by itself. As written; when they fire is decided by common/schedule.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "common/base/value.h"
#include "common/model/task_state.h"

namespace millrace {

constexpr std::size_t kTriggersMax = 64;  // of one workflow
constexpr std::size_t kCronMax = 256;     // bytes of a cron text
constexpr std::size_t kZoneNameMax = 64;
constexpr Duration kJitterMax = 24h;
constexpr std::uint32_t kCatchUpMax = 10'000;

// What a firing does while the run of the one before has not ended.
enum class Overlap : std::uint8_t {
  kSkip,    // nothing
  kQueue,   // it waits, and starts when that run has ended
  kAllow,   // it starts beside it
  kCancel,  // that run is cancelled, and it starts
};

// Which firings are made up for that came while nobody could make them.
enum class CatchUp : std::uint8_t { kNone, kOne, kAll };  // one: the last of them

struct ScheduleSpec {
  std::string cron;              // five fields, or @hourly ...: see common/schedule/cron.h
  std::string timezone = "UTC";  // a name of the time zone database
  Duration jitter = Duration::zero();
  Overlap overlap = Overlap::kSkip;
  CatchUp catch_up = CatchUp::kOne;
  std::uint32_t catch_up_limit = 100;  // of kAll: the last so many
  bool operator==(const ScheduleSpec&) const = default;
};

// The end of a run of another workflow of the tenant, registered or not.
struct RunEndSpec {
  std::string workflow;
  std::vector<RunState> statuses = {};  // terminal ones, ascending; none: however it ends
  bool operator==(const RunEndSpec&) const = default;
};

// Either timed or fired by events.
struct TriggerSpec {
  std::string name;  // like a node's id
  ScheduleSpec schedule;
  Value inputs = Value::Object{};          // of the runs: JSON with expressions over `event`
  std::optional<RunEndSpec> run_end = {};  // then the schedule has no cron
  std::string filter = {};  // one expression over `event`: where it does not hold, nothing fires; empty: none
  bool operator==(const TriggerSpec&) const = default;
};

}  // namespace millrace
