#include "coordinator/shell/run_filter.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "common/base/units.h"
#include "coordinator/shell/listing.h"

namespace millrace {
namespace {

constexpr std::array<std::string_view, 14> kFields = {"run",      "workflow", "status",   "tenant", "caller",
                                                      "priority", "labels",   "accepted", "ended",  "elapsed",
                                                      "tasks",    "error",    "retry_of", "reason"};

Value text_or_null(std::string_view text) { return text.empty() ? Value() : Value(text); }
Value time_or_null(Time time) { return time == Time{} ? Value() : Value(format_time(time)); }

class RunScope : public expr::Scope {
 public:
  RunScope(const RunInfo& info, const RunRecord& record, std::uint32_t total, std::uint32_t done)
      : info_(info), record_(record), total_(total), done_(done) {}

  bool has_root(std::string_view root) const override { return std::ranges::find(kFields, root) != kFields.end(); }

  Value root(std::string_view root) const override {
    if (root == "run") return to_string(info_.run);
    if (root == "workflow") return info_.workflow;
    if (root == "status") return to_string(record_.state);
    if (root == "tenant") return info_.tenant;
    if (root == "caller") return text_or_null(info_.caller);
    if (root == "priority") return std::int64_t{info_.priority};
    if (root == "labels") return labels();
    if (root == "accepted") return time_or_null(info_.accepted);
    if (root == "ended") return time_or_null(record_.ended);
    if (root == "elapsed") return elapsed();
    if (root == "tasks") return Value::Object{{"total", std::uint64_t{total_}}, {"done", std::uint64_t{done_}}};
    if (root == "error") return error();
    if (root == "retry_of") return info_.retry_of == RunId{} ? Value() : Value(to_string(info_.retry_of));
    return text_or_null(record_.why);
  }

  const Value* member(std::string_view root, std::string_view head) const override {
    auto held = held_.find(root);
    if (held == held_.end()) held = held_.emplace(std::string(root), this->root(root)).first;
    return held->second.is_object() ? held->second.find(head) : nullptr;
  }

 private:
  Value labels() const {
    Value labels = Value::Object{};
    for (const auto& [name, value] : info_.labels) labels.set(name, value);
    return labels;
  }
  Value elapsed() const {
    if (record_.ended == Time{}) return nullptr;
    return std::chrono::duration<double>(std::max(record_.ended - info_.accepted, Duration::zero())).count();
  }
  Value error() const {
    if (record_.error == nullptr) return nullptr;
    return Value::Object{{"code", record_.error->code},
                         {"message", record_.error->message},
                         {"node", text_or_null(record_.error->node)}};
  }

  const RunInfo& info_;
  const RunRecord& record_;
  std::uint32_t total_;
  std::uint32_t done_;
  mutable std::map<std::string, Value, std::less<>> held_;  // that member() has lent
};

}  // namespace

Result<RunFilter> RunFilter::compile(const ListRuns& query) {
  RunFilter filter(query);
  if (query.where.empty()) return filter;
  Result<expr::Expression> where = expr::Expression::compile(query.where);
  if (!where.ok()) return Error{Code::kInvalid, "where: " + where.error().what, where.error().details, "where"};
  for (const expr::Reference& reference : where->references()) {
    if (std::ranges::find(kFields, reference.root) != kFields.end()) continue;
    std::string known;
    for (std::string_view field : kFields) known += (known.empty() ? "" : ", ") + std::string(field);
    return Error{Code::kInvalid,
                 "where: a run has no '" + reference.root + "'",
                 {{"", 0, 0, "unknown name '" + reference.root + "'", known, ""}},
                 "where"};
  }
  filter.where_ = std::move(where).value();
  return filter;
}

bool RunFilter::matches(const RunInfo& info, const RunRecord& record, std::uint32_t tasks_total,
                        std::uint32_t tasks_done) const {
  if (!millrace::matches(query_, info, record)) return false;
  if (!where_) return true;
  const Result<Value> holds = where_->evaluate(RunScope(info, record, tasks_total, tasks_done));
  return holds.ok() && expr::truthy(*holds);
}

}  // namespace millrace
