// Firings: the moments at which a schedule fires, and what a run that is started then is given.
//
// A firing is named by its moment of the schedule (`time`), whenever it is made. A wall minute fires once: one that
// summer time skips fires when the clocks are put forward (once, however many are skipped), one that comes twice the
// first time. Promises: pure, total. next and previous agree: between two neighbours there is no third.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/expr/expression.h"
#include "common/model/trigger.h"
#include "common/schedule/cron.h"
#include "common/schedule/zone.h"

namespace millrace {

std::optional<Time> next_firing(const Cron& cron, const ZoneRules& zone, Time after);      // later than `after`
std::optional<Time> previous_firing(const Cron& cron, const ZoneRules& zone, Time until);  // up to and with `until`

// The idempotency key of a firing's run: trigger/WORKFLOW/TRIGGER/VERSION/MOMENT.
std::string trigger_key(std::string_view workflow, std::string_view trigger, std::uint64_t version, Time moment);

// How much later than its moment it starts: from 0 up to the jitter, a hash of workflow, trigger and moment.
Duration jitter_of(const TriggerSpec& trigger, std::string_view workflow, Time firing);

// What expressions see as `event`: {kind, workflow, trigger, time, local_time, timezone}.
Value firing_event(const TriggerSpec& trigger, std::string_view workflow, const ZoneRules& zone, Time firing);

// What a trigger makes of an event: its filter and its inputs, compiled once. Immutable and cheap to copy (shared
// inside); any thread may use one. Fails: kFailed, as expressions do; kInvalid where they do not compile.
class FiringRules {
 public:
  FiringRules(std::string_view filter, const Value& inputs);
  Result<bool> passes(const Value& event) const;   // whether the filter lets it
  Result<Value> inputs(const Value& event) const;  // with `event` in them

 private:
  std::optional<Result<expr::TextTemplate>> filter_;
  Result<expr::Template> inputs_;
};

}  // namespace millrace
