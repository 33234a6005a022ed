// What a node says about values that are kept: `cache: {key, ttl}`, and `fallback: cached`.
#include <algorithm>

#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {

void read_cache(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on) {
  const std::string what = "'cache' of " + where;
  CacheSpec& cache = reader.spec.specs[node].flow.cache.emplace();
  if (!reader.expect_mapping(index, what)) return;
  bool ttl = false;
  for (const Entry& entry : reader.entries(index)) {
    const std::string part = "'" + entry.name + "' in " + what;
    if (entry.name == "key") {
      ExpressionPlace place{part, node, /*core=*/true, depends_on};
      if (reader.spec.specs[node].flow.foreach) place.more = keys::kItemRoots;
      check_expressions(reader, entry.value, place);
      cache.key = reader.value(entry.value);
    } else if (entry.name == "ttl") {
      ttl = true;
      cache.ttl = reader.read_duration(entry.value, part, 1us).value_or(Duration{});
    } else {
      reader.unknown_key(entry, what, keys::kCache);
    }
  }
  if (!ttl) reader.problem(index, what + " has no 'ttl'", "how old a value may be that it takes: {ttl: 1h}");
}

void check_cache(Reader& reader, const std::vector<Entry>& entries, const std::string& where, std::uint32_t node) {
  const FlowSpec& flow = reader.spec.specs[node].flow;
  const auto at = [&](std::string_view name) {
    const auto found = std::ranges::find_if(entries, [&](const Entry& entry) { return entry.name == name; });
    return found == entries.end() ? std::uint32_t{0} : found->key;
  };
  if (flow.cache && flow.foreach && flow.foreach->collect == Value(false))
    reader.problem(at("cache"), where + " has a 'cache', and 'collect: false' says that nothing of its items is kept",
                   "one of them");
  if (flow.cache && !flow.cache->key && flow.join > 0)
    reader.problem(at("cache"), where + " has a 'cache' without a 'key', and does not wait for all that it sees",
                   "a 'key', since what it sees depends on the time");
  if (flow.fallback_cached && !flow.cache)
    reader.problem(at("fallback"), where + " falls back to what is cached, and has no 'cache'", "cache: {ttl: 1h}");
}

}  // namespace millrace
