// Checker: what triggers have fired.
#include <algorithm>

#include "common/base/units.h"
#include "common/base/value.h"
#include "coordinator/shell/letter_codec.h"
#include "coordinator/shell/trigger_codec.h"
#include "tests/sim/checker.h"

namespace millrace::sim {

// Of a trigger that fires each minute and makes up for all that it has missed, every minute of the wall from when it
// was applied to its latest firing has started one run, whoever owned its home and whatever the clock did. And each end
// of a run of a workflow that its partition knew to be watched has started one.
void Checker::check_triggers() {
  std::map<TriggerName, std::pair<Time, Time>> spans;  // of timed ones: when it was applied, its latest firing
  std::map<TriggerName, std::uint64_t> started;
  std::set<std::string> keys;
  std::uint64_t ends = 0;
  std::uint64_t followers = 0;
  for (const auto& [partition, log] : log_) {
    bool watched = false;
    std::set<RunId> ended;
    for (const PartitionCommit& commit : log) {
      std::set<TriggerName> fresh;  // what was fired in the turn of their beginning is in their first record already
      for (const ShelfWrite& write : commit.shelves) {
        if (write.shelf != Shelf::kTriggers || write.bytes.empty()) continue;
        const Result<TriggerRecord> record = decode_trigger(partition, write.field, write.bytes);
        if (!record.ok()) return fail("triggers: " + record.error().what);
        if (record->schedule.cron.empty()) continue;
        const auto [span, begins] = spans.try_emplace(record->name, record->last, record->last);
        if (begins) fresh.insert(record->name);
        if (record->last < span->second.second) return fail("triggers: a firing of the past may come again");
        span->second.second = record->last;
      }
      for (const ShelfWrite& write : commit.shelves) {
        if (write.shelf == Shelf::kWatchers) watched = !write.bytes.empty();
        if (write.shelf == Shelf::kOutbox && !write.bytes.empty()) {
          const Result<Letter> letter = decode_letter(partition, write.bytes);
          if (!letter.ok()) return fail("letters: " + letter.error().what);
          if (const auto* news = std::get_if<RunEnded>(&letter->body)) ended.insert(news->news.run);
          const auto* wanted = std::get_if<RunWanted>(&letter->body);
          const std::optional<TriggerName> name =
              wanted == nullptr ? std::nullopt : trigger_of(wanted->tenant, wanted->key);
          if (!name) continue;
          if (!keys.insert(wanted->key).second) return fail("triggers: " + wanted->key + " was fired twice");
          if (name->workflow == "hooked" || name->workflow == "streamed") {
            if (!take_firing(*wanted)) return;
            continue;
          }
          if (name->workflow == "follows") ++followers;
          else if (!fresh.contains(*name)) ++started[*name];
        }
      }
      for (const RunWrite& write : commit.runs) {  // a watcher may have come in the same turn, before or after
        const bool timed = runs_.at(write.run).plan->workflow().name == "timed";
        if (timed && is_terminal(write.record.state) && watched && !ended.contains(write.run) &&
            !std::ranges::any_of(commit.shelves, [](const ShelfWrite& w) { return w.shelf == Shelf::kWatchers; }))
          return fail("triggers: the end of run " + to_string(write.run) + " was not told");
      }
    }
    ends += ended.size();
  }
  for (const auto& [name, span] : spans) {
    const auto minutes = [](Time time) { return static_cast<std::uint64_t>(to_us(time) / 60'000'000); };
    const std::uint64_t due = minutes(span.second) - minutes(span.first);
    if (started[name] != due)
      return fail("triggers: " + std::to_string(started[name]) + " firings of " + std::to_string(due) + " minutes");
  }
  if (followers != ends)
    fail("triggers: " + std::to_string(ends) + " ends have started " + std::to_string(followers) + " runs");
  for (const std::string& id : deliveries_) {
    if (!fired_.contains(id)) return fail("triggers: " + id + " has come and has fired nothing");
  }
}

// Of a webhook or a stream: which deliveries or entries it is of. Each fires once, alone or in a batch.
bool Checker::take_firing(const RunWanted& wanted) {
  const Result<Value> inputs = Value::parse(wanted.inputs.json());
  const Value* ids = inputs.ok() ? inputs->find("ids") : nullptr;
  if (ids == nullptr) return fail("triggers: " + wanted.key + " names no deliveries"), false;
  const Value::Array all = ids->is_array() ? ids->as_array() : Value::Array{*ids};
  for (const Value& one : all) {
    const Value& id = one.is_object() ? *one.find("id") : one;
    if (!fired_.insert(id.as_string()).second)
      return fail("triggers: " + id.as_string() + " has fired twice, the second time as " + wanted.key), false;
  }
  return true;
}

}  // namespace millrace::sim
