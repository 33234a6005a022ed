// The executor `http`: one request, through its redirects. Of the io class: no slot, no thread, no process.
//
// Output: {"status", "headers", "body", "url"}, also when the status is no success; headers by their names in lower
// case (repeated ones joined with ", "; `set-cookie` is a list). With `response: auto` a body is JSON if its type says
// so and it parses, text if it is UTF-8, else base64 (then `"encoding": "base64"` is added).
#pragma once

#include <memory>

#include "common/net/egress.h"
#include "worker/executors/executor.h"

namespace millrace {

std::unique_ptr<Executor> make_http_executor(Egress& egress, TaskObserver& observer);

}  // namespace millrace
