#include "worker/shell/item_runs.h"

#include "common/base/json_scan.h"

namespace millrace {

ItemRun::ItemRun(Assignment assignment, SharedText values, std::int64_t now_us)
    : assignment_(std::move(assignment)), values_(std::move(values)), started_us_(now_us), news_us_(now_us) {
  find_next();
}

void ItemRun::find_next() {
  ElementCursor cursor(*values_, at_);
  if (!cursor.next(next_)) next_ = "null";
  at_ = cursor.at();
}

bool ItemRun::is_over(std::int64_t now_us) const {
  const AssignedItems& items = *assignment_.items;
  if (killed_ || done_ == items.count) return true;
  if (done_ == 0) return false;
  return outputs_.size() >= kItemOutputsMax || failures_.size() >= kItemFailuresMax ||
         errors_bytes_ >= kItemErrorsMax ||
         (items.budget > Duration::zero() && now_us - started_us_ >= items.budget.count());
}

ItemBinding ItemRun::next() const { return {assignment_.items->first + done_, next_}; }

void ItemRun::ended(Outcome&& outcome) {
  if (killed_ && !outcome.success) return;  // it did not end, it was stopped
  if (done_ > 0) outputs_ += ',';
  if (outcome.success) {
    outputs_ += outcome.output.is_inline() ? outcome.output.json() : std::string_view("null");
  } else {
    outputs_ += "null";
    errors_bytes_ += outcome.error.message.size() + outcome.error.traceback.size();
    failures_.push_back({done_, outcome.reason, std::move(outcome.error)});
  }
  ++done_;
  find_next();
}

Outcome ItemRun::report(std::int64_t now_us) {
  Outcome outcome;
  outcome.success = !killed_ || done_ == assignment_.items->count;
  if (!outcome.success) {
    outcome.reason = *killed_;
    outcome.error.message = "stopped after " + std::to_string(done_) + " of its items";
  }
  outcome.ran = Duration{now_us - started_us_};
  if (done_ > 0) outcome.output = Payload::inline_json(std::move(outputs_) + "]");
  outcome.items =
      std::make_shared<const ItemsOutcome>(ItemsOutcome{assignment_.items->count, done_, std::move(failures_)});
  return outcome;
}

std::optional<std::string> ItemRun::news(std::int64_t now_us) {
  if (now_us - news_us_ < kItemNewsEveryUs) return std::nullopt;
  news_us_ = now_us;
  const AssignedItems& items = *assignment_.items;
  return "{\"first\":" + std::to_string(items.first) + ",\"done\":" + std::to_string(done_) +
         ",\"total\":" + std::to_string(items.count) + "}";
}

}  // namespace millrace
