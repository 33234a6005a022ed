// Roll: when each worker was last heard and what it then said of itself, close together: every worker beats once a
// second at every coordinator, so that with thousands of them a walk through the fleet, or a search in a tree for each
// beat, would be most of the work.
//
// Promises: a place stays its worker's until it is taken off, then it is used again; add, find and take off are
// constant time, a look at all of them is one walk over 32 bytes each. Iterates by place, which is no order of workers.
// Threads: none of its own; owned by Placement by value. Fails: never.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/flat_index.h"
#include "common/base/ids.h"
#include "common/base/time.h"

namespace millrace {

class Roll {
 public:
  using Place = std::uint32_t;
  struct Line {
    Time heard{};
    WorkerId worker;            // zero: nobody stands here
    std::uint32_t running = 0;  // as it last said, for all coordinators
    std::uint32_t queued = 0;
    std::uint32_t others = 0;  // attempts that it had of other coordinators then
    bool doubted = false;      // silent for kDoubtAfter
  };

  // An incarnation that is on the roll already leaves its old place to be found by nobody.
  Place add(WorkerId worker, std::uint64_t incarnation, Time now) {
    Place place = static_cast<Place>(lines_.size());
    if (free_.empty()) {
      lines_.emplace_back();
    } else {
      place = free_.back();
      free_.pop_back();
    }
    lines_[place] = {now, worker, 0, 0, 0, false};
    by_incarnation_.put(incarnation, place);
    return place;
  }
  void take_off(Place place, std::uint64_t incarnation) {
    hide(place, incarnation);
    lines_[place] = {};
    free_.push_back(place);
  }
  // It keeps its place, and is found by it only.
  void hide(Place place, std::uint64_t incarnation) {
    if (by_incarnation_.find(incarnation) == place) by_incarnation_.erase(incarnation);
  }
  void look_ahead(std::uint64_t incarnation) const { by_incarnation_.look_ahead(incarnation); }
  void look_closer(std::uint64_t incarnation) const {  // a while after it was looked ahead for
    if (const auto place = find(incarnation)) __builtin_prefetch(&lines_[*place]);
  }
  std::optional<Place> find(std::uint64_t incarnation) const { return by_incarnation_.find(incarnation); }
  Line& at(Place place) { return lines_[place]; }
  const Line& at(Place place) const { return lines_[place]; }
  std::vector<Line>& lines() { return lines_; }

 private:
  std::vector<Line> lines_;
  std::vector<Place> free_;
  FlatIndex<Place> by_incarnation_;
};

}  // namespace millrace
