#include "common/expr/machine.h"

#include <algorithm>
#include <utility>

namespace millrace::expr {
namespace {

constexpr std::size_t kQuoteMax = 80;

std::size_t weight(const Value& value) {
  std::size_t bytes = sizeof(Value);
  if (value.is_string()) {
    bytes += value.as_string().size();
  } else if (value.is_array()) {
    for (const Value& item : value.as_array()) bytes += weight(item);
  } else if (value.is_object()) {
    for (const auto& [key, member] : value.as_object()) bytes += sizeof(std::string) + key.size() + weight(member);
  }
  return bytes;
}

}  // namespace

std::string kind_phrase(const Value& value) {
  if (value.is_null()) return "null";
  const std::string kind = value.kind_name();
  return (std::string_view("aeio").find(kind[0]) != std::string_view::npos ? "an " : "a ") + kind;
}

bool deeper_than(const Value& value, int levels) {
  if (value.is_array()) {
    if (levels == 0) return true;
    const auto& items = value.as_array();
    return std::any_of(items.begin(), items.end(), [&](const Value& item) { return deeper_than(item, levels - 1); });
  }
  if (value.is_object()) {
    if (levels == 0) return true;
    const auto& members = value.as_object();
    return std::any_of(members.begin(), members.end(),
                       [&](const Value::Member& member) { return deeper_than(member.second, levels - 1); });
  }
  return false;
}

bool Machine::steps(std::uint64_t count) {
  if (failed()) return false;
  if (count > steps_left_) {
    steps_left_ = 0;
    fail("the evaluation takes more than " + std::to_string(limits_.steps_max) + " steps", "", "", "steps_max");
    return false;
  }
  steps_left_ -= count;
  return true;
}

bool Machine::bytes(std::size_t count) {
  if (failed()) return false;
  if (count > bytes_left_) {
    bytes_left_ = 0;
    fail("the evaluation builds more than " + std::to_string(limits_.result_max) + " bytes", "", "", "result_max");
    return false;
  }
  bytes_left_ -= count;
  return true;
}

std::string Machine::quote(Span span) const {
  std::string_view part = text_.substr(span.begin, span.end - span.begin);
  if (part.size() <= kQuoteMax) return "`" + std::string(part) + "`";
  std::size_t cut = kQuoteMax;
  while (cut > 0 && (static_cast<unsigned char>(part[cut]) & 0xC0) == 0x80) --cut;
  return "`" + std::string(part.substr(0, cut)) + "...`";
}

Held Machine::fail(std::string message, std::string expected, std::string hint, std::string limit) {
  if (failed()) return {};
  if (focus_.begin < focus_.end) message.insert(0, quote(focus_) + ": ");
  std::string what = message;
  if (!hint.empty()) what += "; " + hint;
  const int column = static_cast<int>(focus_.begin) + 1;
  error_ = Error{Code::kFailed,
                 std::move(what),
                 {{"", 1, column, std::move(message), std::move(expected), std::move(hint)}},
                 std::move(limit)};
  return {};
}

Held Machine::wrong(std::string_view who, std::string_view expected, const Value& got) {
  return fail(std::string(who) + " expected " + std::string(expected) + ", got " + kind_phrase(got),
              std::string(expected), got.is_null() ? "`| default(...)` replaces null" : "");
}

void Machine::pay(const Value& value) { bytes(weight(value)); }

Value Machine::take(Held held) {
  if (!held.is_loan()) return failed() ? Value() : std::move(held.own());
  pay(held.get());
  return failed() ? Value() : held.get();
}

}  // namespace millrace::expr
