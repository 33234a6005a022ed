// Filters on arrays and objects (some of them on strings too).
#include <algorithm>
#include <bit>
#include <limits>
#include <unordered_map>
#include <utility>

#include "common/expr/filters.h"
#include "common/expr/operators.h"

namespace millrace::expr {
namespace {

// The subject when it is an array whose every element may be touched; null when not, and the call has failed.
const Value::Array* items_of(Call& call) {
  if (!call.on().is_array()) {
    call.wrong("an array", call.on());
    return nullptr;
  }
  return call.m.steps(call.on().as_array().size()) ? &call.on().as_array() : nullptr;
}
const Value::Object* members_of(Call& call) {
  if (!call.on().is_object()) {
    call.wrong("an object", call.on());
    return nullptr;
  }
  return call.m.steps(call.on().as_object().size()) ? &call.on().as_object() : nullptr;
}

// Whether all values can stand in one order: all numbers or all strings. Fails the call when not. Pays for reading each
// string once.
bool orderable(Call& call, const std::vector<const Value*>& values) {
  const bool numbers = !values.empty() && values[0]->is_number();
  for (const Value* v : values) {
    if (v->is_string() && !call.m.scan(v->as_string().size())) return false;
    if (numbers ? v->is_number() : v->is_string()) continue;
    call.wrong(numbers ? "numbers only" : values[0]->is_string() ? "strings only" : "all numbers or all strings", *v);
    return false;
  }
  return true;
}

// Builds an array from borrowed values, paying for each.
Held collect(Call& call, const std::vector<const Value*>& values) {
  Value::Array out;
  out.reserve(values.size());
  for (const Value* v : values) {
    Value copy = call.m.take(Held::loan(*v));
    if (call.m.failed()) return {};
    out.push_back(std::move(copy));
  }
  return Value(std::move(out));
}

std::vector<const Value*> pointers(const Value::Array& items) {
  std::vector<const Value*> out;
  out.reserve(items.size());
  for (const Value& item : items) out.push_back(&item);
  return out;
}

// The value at a dotted path inside an element: 'owner.name', 'tags.0'. A loan, since elements are read in place.
const Value* at_path(Call& call, const Value& element, std::string_view path, const Subject& subject) {
  static const Value kNull;
  Held at = Held::loan(element);
  while (!call.m.failed()) {
    const std::size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    Value key(name);
    if (at->is_array() && !name.empty() && name.size() < 10 &&
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      key = Value(std::stoi(std::string(name)));
    }
    at = index(call.m, std::move(at), key, subject);
    if (dot == std::string_view::npos || call.m.failed()) break;
    path.remove_prefix(dot + 1);
  }
  return at.is_loan() ? &at.get() : &kNull;
}

Subject element_of(const Call& call) { return {std::string("`") + call.filter.name + "`: an element", {}}; }

Held f_length(Call& call) {
  const Value& v = call.on();
  if (v.is_array()) return Value(static_cast<std::uint64_t>(v.as_array().size()));
  if (v.is_object()) return Value(static_cast<std::uint64_t>(v.as_object().size()));
  if (!v.is_string()) return call.wrong("a string, an array or an object", v);
  if (!call.m.scan(v.as_string().size())) return {};
  return Value(static_cast<std::uint64_t>(characters(v.as_string())));
}

Held f_first(Call& call) {
  if (!call.on().is_array()) return call.wrong("an array", call.on());
  if (call.on().as_array().empty()) return {};
  const Value& first = call.on().as_array().front();
  return std::move(call.subject).part(first);
}
Held f_last(Call& call) {
  if (!call.on().is_array()) return call.wrong("an array", call.on());
  if (call.on().as_array().empty()) return {};
  const Value& last = call.on().as_array().back();
  return std::move(call.subject).part(last);
}

Held f_join(Call& call) {
  const Value::Array* items = items_of(call);
  if (items == nullptr || (!call.argument(0).is_null() && !call.text_argument(0))) return {};
  const std::string separator = call.argument(0).is_null() ? "" : call.argument(0).as_string();
  std::string out;
  std::size_t paid = 0;
  for (std::size_t i = 0; i < items->size(); ++i) {
    if (i > 0) out += separator;
    render_default((*items)[i], out);
    if (!call.m.bytes(out.size() - paid)) return {};
    paid = out.size();
  }
  return Value(std::move(out));
}

Held f_sort(Call& call) {
  const Value::Array* items = items_of(call);
  if (items == nullptr) return {};
  const bool by_attribute = !call.argument(0).is_null();
  if (by_attribute && !call.text_argument(0)) return {};
  if (!call.argument(1).is_null() && !call.argument(1).is_bool()) return call.wrong_argument(1, "a boolean");
  std::vector<std::pair<const Value*, const Value*>> keyed;  // key, element
  std::vector<const Value*> keys;
  std::size_t key_bytes = 0;
  const Subject element = element_of(call);
  for (const Value& item : *items) {
    keyed.emplace_back(by_attribute ? at_path(call, item, call.argument(0).as_string(), element) : &item, &item);
    keys.push_back(keyed.back().first);
    if (keys.back()->is_string()) key_bytes += keys.back()->as_string().size();
  }
  if (call.m.failed() || !orderable(call, keys)) return {};
  const auto rounds = static_cast<std::size_t>(std::bit_width(items->size()));
  if (!call.m.steps(items->size() * rounds) || !call.m.scan(key_bytes * rounds)) return {};
  const bool reverse = truthy(call.argument(1));
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(*b.first, *a.first) : less(*a.first, *b.first);
  });
  for (std::size_t i = 0; i < keyed.size(); ++i) keys[i] = keyed[i].second;
  return collect(call, keys);
}

Held f_unique(Call& call) {
  const Value::Array* items = items_of(call);
  if (items == nullptr) return {};
  std::unordered_multimap<std::uint64_t, const Value*> seen;
  std::vector<const Value*> kept;
  for (const Value& item : *items) {
    const std::uint64_t h = hash(call.m, item);
    const auto [from, to] = seen.equal_range(h);
    const bool known = std::any_of(from, to, [&](const auto& entry) { return equal(call.m, *entry.second, item); });
    if (call.m.failed()) return {};
    if (known) continue;
    seen.emplace(h, &item);
    kept.push_back(&item);
  }
  return collect(call, kept);
}

Held f_reverse(Call& call) {
  if (call.on().is_string()) {
    if (!call.m.steps(call.on().as_string().size())) return {};
    auto all = split_characters(call.on().as_string());
    std::string out;
    for (auto it = all.rbegin(); it != all.rend(); ++it) out += *it;
    return call.text(std::move(out));
  }
  if (!call.on().is_array()) return call.wrong("an array or a string", call.on());
  const Value::Array* items = items_of(call);
  if (items == nullptr) return {};
  auto all = pointers(*items);
  std::reverse(all.begin(), all.end());
  return collect(call, all);
}

Held f_sum(Call& call) {
  const Value::Array* items = items_of(call);
  Held total = Value(0);
  if (items == nullptr) return {};
  for (const Value& item : *items) {
    if (!item.is_number()) return call.wrong("numbers only", item);
    total = arithmetic(call.m, Op::kAdd, std::move(total), item);
    if (call.m.failed()) return {};
  }
  return total;
}

Held extreme(Call& call, bool greatest) {
  const Value::Array* items = items_of(call);
  if (items == nullptr || items->empty() || !orderable(call, pointers(*items))) return {};
  const Value* best = &items->front();
  for (const Value& item : *items) {
    if (greatest ? less(*best, item) : less(item, *best)) best = &item;
  }
  return std::move(call.subject).part(*best);
}
Held f_min(Call& call) { return extreme(call, false); }
Held f_max(Call& call) { return extreme(call, true); }

Held f_slice(Call& call) {
  if (!call.on().is_array() && !call.on().is_string()) return call.wrong("an array or a string", call.on());
  for (std::size_t i : {0U, 1U}) {
    if (!call.argument(i).is_null() && !call.argument(i).is_integer()) return call.wrong_argument(i, "an integer");
  }
  return slice(call.m, call.on(), call.argument(0), call.argument(1), {});
}

Held f_map(Call& call) {
  const Value::Array* items = items_of(call);
  if (items == nullptr || !call.text_argument(0)) return {};
  std::vector<const Value*> found;
  found.reserve(items->size());
  const Subject element = element_of(call);
  for (const Value& item : *items) {
    found.push_back(at_path(call, item, call.argument(0).as_string(), element));
    if (call.m.failed()) return {};
  }
  return collect(call, found);
}

Held f_contains(Call& call) {
  const bool found = contains(call.m, call.on(), call.argument(0), "`contains`");
  return call.m.failed() ? Held() : Held(Value(found));
}

Held f_range(Call& call) {
  if (!call.on().is_int()) return call.wrong("an integer", call.on());
  const bool pair = !call.argument(0).is_null();
  if (pair && !call.argument(0).is_int()) return call.wrong_argument(0, "an integer");
  const std::int64_t from = pair ? call.on().as_int() : 0;
  const std::int64_t to = pair ? call.argument(0).as_int() : call.on().as_int();
  if (to <= from) return Value(Value::Array{});
  const std::uint64_t count = static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from);
  if (!call.m.steps(count)) return {};
  if (count > std::numeric_limits<std::size_t>::max() / sizeof(Value) || !call.m.bytes(count * sizeof(Value)))
    return {};
  Value::Array out;
  out.reserve(count);
  for (std::int64_t i = from; i < to; ++i) out.emplace_back(i);
  return Value(std::move(out));
}

void flatten_into(Call& call, const Value& item, std::int64_t levels, std::vector<const Value*>& out) {
  if (!call.m.steps(1)) return;
  if (levels == 0 || !item.is_array()) return out.push_back(&item);
  for (const Value& inner : item.as_array()) flatten_into(call, inner, levels - 1, out);
}

Held f_flatten(Call& call) {
  const Value::Array* items = items_of(call);
  if (items == nullptr) return {};
  const Value& levels = call.argument(0);
  if (!levels.is_null() && !(levels.is_int() && levels.as_int() >= 0)) {
    return call.wrong_argument(0, "an integer that is not negative");
  }
  std::vector<const Value*> out;
  for (const Value& item : *items) flatten_into(call, item, levels.is_null() ? 1 : levels.as_int(), out);
  return call.m.failed() ? Held() : collect(call, out);
}

Held f_keys(Call& call) {
  const Value::Object* members = members_of(call);
  if (members == nullptr) return {};
  Value::Array out;
  for (const auto& [key, value] : *members) {
    if (!call.m.bytes(sizeof(Value) + key.size())) return {};
    out.emplace_back(key);
  }
  return Value(std::move(out));
}

Held f_values(Call& call) {
  const Value::Object* members = members_of(call);
  if (members == nullptr) return {};
  std::vector<const Value*> out;
  for (const auto& [key, value] : *members) out.push_back(&value);
  return collect(call, out);
}

Held f_entries(Call& call) {
  const Value::Object* members = members_of(call);
  if (members == nullptr) return {};
  Value::Array out;
  for (const auto& [key, value] : *members) {
    if (!call.m.bytes(2 * sizeof(Value::Member) + sizeof(Value) + key.size())) return {};
    out.emplace_back(Value::Object{{"key", Value(key)}, {"value", call.m.take(Held::loan(value))}});
  }
  return call.m.failed() ? Held() : Held(Value(std::move(out)));
}

}  // namespace

std::vector<Filter> list_filters() {
  return {
      {"length", {}, 0, f_length},
      {"count", {}, 0, f_length},
      {"first", {}, 0, f_first},
      {"last", {}, 0, f_last},
      {"join", {"separator"}, 0, f_join},
      {"sort", {"attribute", "reverse"}, 0, f_sort},
      {"unique", {}, 0, f_unique},
      {"reverse", {}, 0, f_reverse},
      {"sum", {}, 0, f_sum},
      {"min", {}, 0, f_min},
      {"max", {}, 0, f_max},
      {"slice", {"start", "end"}, 0, f_slice},
      {"map", {"attribute"}, 1, f_map},
      {"contains", {"value"}, 1, f_contains},
      {"range", {"end"}, 0, f_range},
      {"flatten", {"levels"}, 0, f_flatten},
      {"keys", {}, 0, f_keys},
      {"values", {}, 0, f_values},
      {"entries", {}, 0, f_entries},
      {"items", {}, 0, f_entries},
  };
}

}  // namespace millrace::expr
