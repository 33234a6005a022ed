// CodeReads: which of the values that a `foreach` goes over the code of its node reads.
//
// A task of one item has the item; the whole list beside it would be sent to, and parsed by, the interpreter once for
// each item. So code of python and javascript gets what `foreach` reads only where its text names it, or might: the
// text is looked at, not run, and what cannot be told (`**kw`, `nodes.items()`, an installed function) counts as read.
// Threads: any. Fails: never.
#pragma once

#include <string>
#include <vector>

#include "common/model/workflow.h"

namespace millrace {

// What `foreach` reads and the code does not.
struct UnreadByCode {
  std::vector<std::string> nodes;
  std::vector<std::string> inputs;
  bool operator==(const UnreadByCode&) const = default;
};

UnreadByCode unread_by_code(const NodeSpec& spec);

}  // namespace millrace
