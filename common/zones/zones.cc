#include "common/zones/zones.h"

#include <cctz/time_zone.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "common/model/trigger.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using Seconds = cctz::time_point<cctz::seconds>;

constexpr std::int64_t kYear2200 = 7'258'118'400;

// cctz would take "file:/..." and absolute paths, too.
bool is_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_' ||
           c == '-' || c == '+';
  };
  return !name.empty() && name.size() <= kZoneNameMax && name.front() != '/' && name != "localtime" &&
         std::ranges::all_of(name, allowed);
}

std::optional<cctz::time_zone> find(std::string_view name) {
  cctz::time_zone zone;
  if (!is_name(name) || !cctz::load_time_zone(std::string(name), &zone)) return std::nullopt;
  return zone;
}

Seconds at_second(std::int64_t second) { return Seconds(cctz::seconds(second)); }

}  // namespace

bool zone_exists(std::string_view name) { return find(name).has_value(); }

Result<ZoneRules> load_zone(std::string_view name) {
  const std::optional<cctz::time_zone> zone = find(name);
  if (!zone) {
    const std::string shown(name.substr(0, kZoneNameMax));
    return Error{
        Code::kNotFound, "there is no time zone '" + shown + "' in this machine's time zone database", {}, "timezone"};
  }
  ZoneRules rules;
  rules.name = std::string(name);
  rules.offset = zone->lookup(at_second(0)).offset;
  std::int32_t last = rules.offset;
  cctz::time_zone::civil_transition change;
  for (Seconds at = at_second(0); zone->next_transition(at, &change);) {
    const Seconds next = zone->lookup(change.to).trans;
    if (next <= at || next >= at_second(kYear2200)) break;
    at = next;
    const std::int32_t offset = zone->lookup(at).offset;
    if (offset != last) rules.changes.push_back({at.time_since_epoch().count(), offset});
    last = offset;
  }
  return rules;
}

ZoneSource zone_source() {
  auto known = std::make_shared<std::map<std::string, std::shared_ptr<const ZoneRules>>>();
  return [known](const std::string& name) {
    auto& rules = (*known)[name];
    if (rules == nullptr) {
      Result<ZoneRules> read = load_zone(name);
      if (read.ok()) rules = std::make_shared<const ZoneRules>(std::move(*read));
      else known->erase(name);
    }
    const auto found = known->find(name);
    return found == known->end() ? nullptr : found->second;
  };
}

std::vector<std::string> zone_names() {
  const char* elsewhere = std::getenv("TZDIR");  // as cctz looks for it
  const fs::path top = elsewhere != nullptr ? elsewhere : "/usr/share/zoneinfo";
  std::vector<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator it(top, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().lexically_relative(top).string();
    if (name == "posix" || name == "right") it.disable_recursion_pending();
    const bool named = !name.empty() && name[0] >= 'A' && name[0] <= 'Z' && name.find('.') == std::string::npos;
    if (named && it->is_regular_file(error)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace millrace
