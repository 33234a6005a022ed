// Looking: whether an idle loop looks for what comes next before it sleeps.
//
// Being woken costs more than most of what the loop does (30-50 us on a virtual machine), and what comes next is often
// near: the store's answer, the report of a tiny task, a client's next request. But where others need the processor for
// it to come, looking only delays it. So it must pay: a look that finds something earns one, one in vain costs two, up
// to kMost either way; with nothing left the loop sleeps kSleepsInARow times before it tries again. Threads: none.
// Fails: never.
#pragma once

#include <algorithm>

namespace millrace {

class Looking {
 public:
  static constexpr int kAtFirst = 4;
  static constexpr int kMost = 16;
  static constexpr unsigned kSleepsInARow = 100;

  bool wanted() {  // once a wait
    if (sleeps_ == 0) return true;
    --sleeps_;
    return false;
  }
  void found() { credit_ = std::min(credit_ + 1, kMost); }
  void in_vain() {
    credit_ -= 2;
    if (credit_ > 0) return;
    credit_ = kAtFirst;
    sleeps_ = kSleepsInARow;
  }

 private:
  int credit_ = kAtFirst;
  unsigned sleeps_ = 0;
};

}  // namespace millrace
