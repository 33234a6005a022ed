// ItemRuns: attempts that have items: which item is next, what the earlier ones came to, when it is enough.
//
// Items of an attempt run one after the other in its slot. It ends when all have, when it is killed, when its budget is
// spent, or when its report grows large: what was not begun is not in the report and is dealt out again. A failed item
// ends nothing. Threads: one. Times are handed in, in microseconds of a steady clock. Fails: never.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/model/worker_messages.h"
#include "worker/core/recent.h"
#include "worker/shell/bindings.h"

namespace millrace {

constexpr std::size_t kItemOutputsMax = 1024 * 1024;  // bytes of outputs in one report; a single one may be larger
constexpr std::size_t kItemFailuresMax = 100;
constexpr std::size_t kItemErrorsMax = 256 * 1024;  // bytes
constexpr std::int64_t kItemNewsEveryUs = 500'000;

class ItemRun {
 public:
  // `values`: an array of as many as the assignment has items.
  ItemRun(Assignment assignment, SharedText values, std::int64_t now_us);

  const Assignment& assignment() const { return assignment_; }
  bool is_over(std::int64_t now_us) const;
  ItemBinding next() const;       // not over
  void ended(Outcome&& outcome);  // the item that next() named
  void kill(Reason why) { killed_ = why; }
  bool is_killed() const { return killed_.has_value(); }
  Outcome report(std::int64_t now_us);                   // of all; once
  std::optional<std::string> news(std::int64_t now_us);  // progress, not too often

 private:
  void find_next();

  Assignment assignment_;
  SharedText values_;
  std::size_t at_ = 0;  // in `values_`: behind the next item
  std::string_view next_;
  std::uint32_t done_ = 0;
  std::string outputs_ = "[";
  std::vector<ItemFailure> failures_;
  std::size_t errors_bytes_ = 0;
  std::int64_t started_us_;
  std::int64_t news_us_;
  std::optional<Reason> killed_;
};

}  // namespace millrace
