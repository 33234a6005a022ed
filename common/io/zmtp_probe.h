// Asks what listens at an endpoint which security it speaks, without ZeroMQ: its sockets tell neither reliably, because
// either side may hang up before the other has seen why.
//
// Threads: any; blocks for at most `timeout` (and while a name is resolved). Fails: no answer is no text.
#pragma once

#include <string>

#include "common/base/time.h"

namespace millrace {

// "NULL", "CURVE" ...; empty where nothing speaks ZMTP 3 there in time. For tcp:// and ipc:// endpoints.
std::string probe_mechanism(const std::string& endpoint, Duration timeout);

}  // namespace millrace
