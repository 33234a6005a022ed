// Zones: the rules of a time zone, from the time zone database of this machine (package tzdata). The only code that
// sees cctz, which reads it.
//
// Promises: names are looked up in the database and nowhere else: no paths, no files of the caller's choice. Rules
// reach from 1970 to 2200; later times keep the last of them. Threads: any. Fails: kNotFound where there is no such
// zone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/schedule/zone.h"

namespace millrace {

bool zone_exists(std::string_view name);
Result<ZoneRules> load_zone(std::string_view name);
ZoneSource zone_source();               // reads each zone once; for one thread
std::vector<std::string> zone_names();  // all of them, sorted; empty where there is no database

}  // namespace millrace
