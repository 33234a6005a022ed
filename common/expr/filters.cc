#include "common/expr/filters.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace millrace::expr {
namespace {

const std::map<std::string, Filter, std::less<>>& table() {
  static const auto* const kTable = [] {
    auto* rows = new std::map<std::string, Filter, std::less<>>;  // lives as long as the process
    for (auto part : {value_filters(), text_filters(), list_filters()}) {
      for (Filter& filter : part) {
        std::string name = filter.name;
        const bool added = rows->emplace(std::move(name), std::move(filter)).second;
        assert(added);
      }
    }
    return rows;
  }();
  return *kTable;
}

// Edit distance with neighbours swapped as one edit (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

Held Call::wrong(std::string_view expected, const Value& got) const {
  return m.wrong(std::string("`") + filter.name + "`", expected, got);
}

Held Call::wrong_argument(std::size_t i, std::string_view expected) const {
  return m.wrong("argument `" + filter.parameters[i] + "` of `" + filter.name + "`", expected, argument(i));
}

bool Call::text_argument(std::size_t i) const {
  if (!argument(i).is_string()) wrong_argument(i, "a string");
  return argument(i).is_string();
}

Held Call::text(std::string built) const {
  if (!m.bytes(built.size())) return {};
  return Value(std::move(built));
}

const Filter* find_filter(std::string_view name) {
  auto found = table().find(name);
  return found == table().end() ? nullptr : &found->second;
}

std::string closest_filter(std::string_view name) {
  static constexpr std::size_t kNameMax = 32;
  if (name.size() > kNameMax) return "";
  std::string best;
  std::size_t nearest = std::max<std::size_t>(1, name.size() / 3) + 1;
  for (const auto& [candidate, filter] : table()) {
    const std::size_t away = distance(name, candidate);
    if (away < nearest) {
      nearest = away;
      best = candidate;
    }
  }
  return best;
}

std::string signature(const Filter& filter) {
  std::string out = filter.name;
  if (filter.parameters.empty()) return out + " without arguments";
  out += '(';
  for (std::size_t i = 0; i < filter.parameters.size(); ++i) {
    if (i > 0) out += ", ";
    out += i < filter.required ? filter.parameters[i] : "[" + filter.parameters[i] + "]";
  }
  return out + ')';
}

const std::vector<std::string>& filter_names() {
  static const auto* const kNames = [] {
    auto* names = new std::vector<std::string>;
    for (const auto& [name, filter] : table()) names->push_back(name);
    return names;
  }();
  return *kNames;
}

}  // namespace millrace::expr
