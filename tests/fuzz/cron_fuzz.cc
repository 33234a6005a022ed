// Fuzz: cron texts. What is taken has firings that go up, agree backwards and forwards, and fit the text, in zones with
// odd clocks, too. The first byte chooses the zone, the next four the moment.
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "common/schedule/firings.h"
#include "common/zones/zones.h"

namespace {

using namespace millrace;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "cron_fuzz: %s\n", what);
  std::abort();
}

const ZoneRules& zone(std::uint8_t which) {
  static const std::array<ZoneRules, 4> zones = {ZoneRules{}, *load_zone("Europe/Berlin"),
                                                 *load_zone("Australia/Lord_Howe"), *load_zone("Pacific/Apia")};
  return zones[which % zones.size()];
}

void check(const Cron& cron, const ZoneRules& rules, Time from) {
  require(cron.minutes != 0 && cron.hours != 0 && cron.days != 0 && cron.months != 0 && cron.weekdays != 0,
          "an empty field");
  std::optional<Time> last;
  for (int i = 0; i < 4; ++i) {
    const std::optional<Time> next = next_firing(cron, rules, last.value_or(from));
    require(next.has_value(), "no firing within fifty years");
    require(*next > last.value_or(from), "a firing is not later");
    require(previous_firing(cron, rules, *next) == *next, "a firing is not its own previous one");
    if (last) require(previous_firing(cron, rules, *next - 1us) == *last, "there is one between two neighbours");
    const WallMinute minute = wall_minute_at(rules, *next);
    require(first_match(cron, minute) == minute || moment_of(rules, minute - 1) == *next ||
                moment_of(rules, minute) == *next,
            "a firing that fits no minute");
    last = next;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 5) return 0;
  std::uint32_t seconds = 0;
  std::memcpy(&seconds, data + 1, sizeof seconds);
  const std::string_view text(reinterpret_cast<const char*>(data + 5), size - 5);
  const Result<Cron> cron = parse_cron(text);
  if (cron.ok()) {
    check(*cron, zone(data[0]), from_us(std::int64_t{seconds} * 1'000'000));
  } else {
    require(cron.error().details.size() == 1, "a mistake without its place");
    const Problem& problem = cron.error().details[0];
    require(problem.column >= 1 && static_cast<std::size_t>(problem.column) <= text.size() + 1,
            "a place outside of the text");
  }
  return 0;
}
