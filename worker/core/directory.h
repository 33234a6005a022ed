// Directory: which coordinators a worker keeps a link to. It begins with the addresses it was given and learns the
// others from what coordinators say.
//
// Promises: every coordinator that a link in use names has a link. One that nobody else names any more keeps its link
// while it speaks, or while no other does. Of two links to the same coordinator (a service address, say, and its own)
// the one at its own address stays. When nobody answers, the addresses given are tried again. LinkIds are the lowest
// free numbers. Threads: none; owned by the worker's shell. Times are handed in. Fails: never; more than kLinksKept are
// not opened.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/model/worker_messages.h"
#include "worker/core/agent.h"

namespace millrace {

constexpr Duration kNewsBelievedFor = 13s;  // after the last word of who told it; longer than kReconcileAfter
constexpr Duration kNobodyAnswers = 5s;
constexpr std::size_t kLinksKept = 1024;

class Directory {
 public:
  struct Change {
    LinkId link;
    std::string endpoint;
    bool open = false;  // else: close
    bool operator==(const Change&) const = default;
  };

  explicit Directory(std::vector<std::string> given) : given_(std::move(given)) {}

  // The first links; then what each message changes, and what the passing of time does.
  std::vector<Change> begin(Time now);
  std::vector<Change> heard(Time now, LinkId link, const CoordinatorMessage& message);
  std::vector<Change> pass(Time now);

  bool is_open(LinkId link) const { return link.value < links_.size() && links_[link.value].has_value(); }

 private:
  struct Link {
    std::string endpoint;
    std::string name;  // of who welcomed us
    Time heard{};      // opened, at first
    bool spoke = false;
    std::vector<MemberAddress> members;
  };

  void open(Time now, const std::string& endpoint, std::vector<Change>& out);
  void close(std::size_t link, std::vector<Change>& out);
  bool in_use(Time now, const Link& link) const { return link.spoke && now < link.heard + kNewsBelievedFor; }
  void update(Time now, std::vector<Change>& out);
  void close_doubles(std::vector<Change>& out);

  std::vector<std::string> given_;
  std::vector<std::optional<Link>> links_;  // by LinkId
};

}  // namespace millrace
