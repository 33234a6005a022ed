#include "common/model/requirements.h"

#include <algorithm>
#include <charconv>

#include "common/base/units.h"
#include "common/model/worker_messages.h"

namespace millrace {
namespace {

const std::string* value_of(const WorkerHello& worker, const std::string& label) {
  const auto it = worker.labels.find(label);
  return it == worker.labels.end() ? nullptr : &it->second;
}

bool passes(const LabelRule& rule, const std::string* value) {
  const bool named =
      value != nullptr && (rule.values.empty() || std::ranges::find(rule.values, *value) != rule.values.end());
  return named != rule.negated;
}

std::uint64_t amount_of(const Resources& resources, const std::string& name) {
  const auto it = std::ranges::lower_bound(resources, name, {}, &Resource::name);
  return it != resources.end() && it->name == name ? it->amount : 0;
}

bool has_executor(const Requirements& wanted, const WorkerHello& worker) {
  return std::ranges::find(worker.executors, wanted.executor) != worker.executors.end();
}

bool serves_queue(const Requirements& wanted, const WorkerHello& worker) {
  const std::string_view queue = queue_or_default(wanted.queue);
  if (worker.queues.empty()) return queue == kDefaultQueue;
  return std::ranges::any_of(worker.queues, [&](const std::string& one) { return one == queue || one == kAnyQueue; });
}

bool has_labels(const Requirements& wanted, const WorkerHello& worker) {
  return std::ranges::all_of(wanted.labels,
                             [&](const LabelRule& rule) { return passes(rule, value_of(worker, rule.label)); });
}

bool has_resources(const Requirements& wanted, const WorkerHello& worker) {
  return std::ranges::all_of(wanted.resources,
                             [&](const Resource& one) { return one.amount <= amount_of(worker.resources, one.name); });
}

std::string list(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

// As a decimal without trailing zeros, of thousandths.
std::string decimal(std::uint64_t thousandths) {
  std::string text = std::to_string(thousandths / 1000);
  if (std::uint64_t rest = thousandths % 1000; rest != 0) {
    std::string digits = std::to_string(1000 + rest).substr(1);
    while (digits.back() == '0') digits.pop_back();
    text += "." + digits;
  }
  return text;
}

Error unreadable(std::string_view resource, std::string_view text) {
  return {Code::kInvalid,
          "resource " + std::string(resource) + ": '" + std::string(text) + "' is not " +
              std::string(amount_expected(resource)),
          {},
          {}};
}

}  // namespace

std::vector<std::string> lacking(const Requirements& wanted, const WorkerHello& worker) {
  std::vector<std::string> lacks;
  if (!has_executor(wanted, worker)) lacks.push_back("executor " + wanted.executor);
  if (!serves_queue(wanted, worker)) { lacks.push_back("queue " + std::string(queue_or_default(wanted.queue))); }
  for (const LabelRule& rule : wanted.labels) {
    const std::string* value = value_of(worker, rule.label);
    if (passes(rule, value)) continue;
    std::string lack = "label " + describe(rule);
    if (value != nullptr) lack += " (has " + rule.label + "=" + *value + ")";
    lacks.push_back(std::move(lack));
  }
  for (const Resource& one : wanted.resources) {
    const std::uint64_t has = amount_of(worker.resources, one.name);
    if (one.amount <= has) continue;
    lacks.push_back(one.name + " " + format_amount(one) + " (has " + format_amount({one.name, has}) + ")");
  }
  return lacks;
}

bool able(const Requirements& wanted, const WorkerHello& worker) {
  return has_executor(wanted, worker) && serves_queue(wanted, worker) && has_labels(wanted, worker) &&
         has_resources(wanted, worker);
}

bool lacks_only_labels(const Requirements& wanted, const WorkerHello& worker) {
  return has_executor(wanted, worker) && serves_queue(wanted, worker) && !has_labels(wanted, worker) &&
         has_resources(wanted, worker);
}

std::string describe(const LabelRule& rule) {
  std::string text = rule.negated ? "not " : "";
  if (rule.values.empty()) return text + rule.label + "=*";
  if (rule.values.size() == 1) return text + rule.label + "=" + rule.values.front();
  return text + rule.label + " in (" + list(rule.values) + ")";
}

std::string describe(const Requirements& wanted) {
  std::vector<std::string> parts = {"executor " + wanted.executor};
  if (queue_or_default(wanted.queue) != kDefaultQueue) parts.push_back("queue " + wanted.queue);
  for (const LabelRule& rule : wanted.labels) parts.push_back(describe(rule));
  for (const Resource& one : wanted.resources) parts.push_back(one.name + " " + format_amount(one));
  return list(parts);
}

std::string format_amount(const Resource& resource) {
  if (resource.name == "cpu") return decimal(resource.amount);
  if (resource.name != "memory") return std::to_string(resource.amount);
  static constexpr std::pair<std::uint64_t, std::string_view> kUnits[] = {{std::uint64_t{1} << 40, "TiB"},
                                                                          {std::uint64_t{1} << 30, "GiB"},
                                                                          {std::uint64_t{1} << 20, "MiB"},
                                                                          {std::uint64_t{1} << 10, "KiB"}};
  for (const auto& [bytes, unit] : kUnits) {
    if (resource.amount >= bytes && resource.amount % bytes == 0)
      return std::to_string(resource.amount / bytes) + std::string(unit);
  }
  for (const auto& [bytes, unit] : kUnits) {  // not exact: with a decimal
    if (resource.amount >= bytes) return decimal(resource.amount * 10 / bytes * 100) + std::string(unit);
  }
  return std::to_string(resource.amount) + "B";
}

Result<std::uint64_t> parse_amount(std::string_view resource, std::string_view text) {
  if (resource == "memory") {
    const Result<std::uint64_t> size = parse_size(text);
    if (!size.ok() || *size > kAmountMax) return unreadable(resource, text);
    return *size;
  }
  const std::size_t dot = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, dot);
  std::string_view fraction = dot < text.size() ? text.substr(dot + 1) : std::string_view();
  std::uint64_t amount = 0;
  const auto [end, error] = std::from_chars(whole.data(), whole.data() + whole.size(), amount);
  if (whole.empty() || error != std::errc() || end != whole.data() + whole.size() || amount > kAmountMax / 1000)
    return unreadable(resource, text);
  if (resource != "cpu") {
    if (dot < text.size()) return unreadable(resource, text);
    return amount;
  }
  if (dot < text.size() && (fraction.empty() || fraction.size() > 3)) return unreadable(resource, text);
  std::uint64_t thousandths = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const char digit = i < fraction.size() ? fraction[i] : '0';
    if (digit < '0' || digit > '9') return unreadable(resource, text);
    thousandths = thousandths * 10 + static_cast<std::uint64_t>(digit - '0');
  }
  return amount * 1000 + thousandths;
}

std::string_view amount_expected(std::string_view resource) {
  if (resource == "cpu") return "a number of cores: 2, 0.5";
  if (resource == "memory") return "a size with its unit: 512MiB, 4GiB";
  return "a whole number";
}

bool is_resource_name(std::string_view name) { return is_node_id(name); }

}  // namespace millrace
