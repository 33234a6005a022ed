// Uploads: what attempts that have ended leave that is large, on its way to where values are kept: their output, and
// the files that they have handed over. It goes in parts, each answered before the next, and only when all have come is
// the attempt's end told, which names it; so reports stay small, and nothing waits behind a large one.
//
// Promises: an attempt that begin() takes comes back from take_done() once, or is forgotten. A part is sent again
// (kPartAgain, doubling), to another coordinator if there is one, until it is answered; whoever answers tells where to
// go on. At most kUploadsAtOnce attempts send at a time. Threads: that of the Host.
// Fails: as the attempt's outcome, kInvalidOutput, where a value arrives damaged again and again.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <set>
#include <string>
#include <vector>

#include "common/model/worker_messages.h"
#include "worker/core/agent.h"
#include "worker/shell/attachments.h"

namespace millrace {

constexpr std::uint64_t kUploadAbove = kPartFirst;  // smaller outputs travel within the report
constexpr std::size_t kUploadsAtOnce = 4;
constexpr Duration kPartAgain = 2s;
constexpr Duration kPartAgainMax = 60s;

class Uploads {
 public:
  // Which coordinators know parts; an older one is sent everything within the report.
  void takes_parts(LinkId link, bool takes);
  bool can_begin() const { return !links_.empty(); }
  // False: there is nothing to send ahead, or nobody to send it to; the outcome is as it was, but without artifacts.
  // `files` are those of its artifacts, in step.
  bool begin(Time now, const AttemptId& attempt, Outcome& outcome, std::vector<SpoolFile> files = {});
  bool forget(const AttemptId& attempt);  // whether it was here
  void taken(Time now, const PartTaken& taken);
  void pass(Time now);
  Time next_deadline() const;
  void take_done(const std::function<void(const AttemptId&, Outcome&&)>& take);
  void take_requests(std::vector<ToCoordinator>& requests);

  std::size_t size() const { return uploads_.size(); }
  void add_attempts(std::vector<AttemptId>& attempts) const;

 private:
  struct Upload {
    AttemptId attempt;
    Outcome outcome;
    std::vector<SpoolFile> files;
    bool with_output = false;  // it goes first, then the files
    std::size_t file = 0;      // the next of them, or that goes now
    Hash128 hash;              // of what goes now
    std::uint64_t size = 0;
    LinkId link;
    std::uint64_t from = 0;  // of the part that is out
    Time sent{};
    Time again = kNever;  // kNever: it waits for its turn, or is done
    Duration pause = kPartAgain;
    bool resent = false;
    unsigned damages = 0;
    PartPace pace;
    bool active = false;
    bool done = false;
  };

  void start_next(Time now);
  void next_value(Time now, Upload& upload);
  void send(Time now, Upload& upload);
  void taken(Time now, Upload& upload, const PartTaken& taken);
  void end(Upload& upload);

  std::set<LinkId> links_;     // that take parts
  std::list<Upload> uploads_;  // the first come first
  std::size_t active_ = 0;
  std::vector<ToCoordinator> requests_;
};

}  // namespace millrace
