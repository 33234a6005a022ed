// Mail: how the letters of partitions get from one to the other (outbox.h): to a partition of this very coordinator by
// hand, to another coordinator as a request of one coordinator to another, whose answer says what was taken. The state
// of Loop (loop_state.h) holds these; mail.cc acts on them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/letter.h"

namespace millrace {

constexpr std::size_t kMailOutMax = 10'000;          // batches on their way to other coordinators
constexpr std::size_t kMailBatchBytes = 256 * 1024;  // of one, unless its first letter is larger

// Letters of one partition that are being taken by another, in order; some wait for what the store knows.
struct MailBatch {
  RequestId request;  // of another coordinator; zero: none
  PartitionId from;
  PartitionId to;
  Epoch epoch;  // of the receiver
  std::vector<SharedLetter> letters;
  std::uint64_t after = 0;  // it has said that it has taken all up to this one
  std::size_t next = 0;
  // Of the next one:
  std::string why;  // its run cannot be
  bool key_read = false;
  std::optional<RunId> existing;
};

struct MailOut {  // a batch at another coordinator
  PartitionId from;
  PartitionId to;
  Epoch epoch;     // of the sender
  Epoch receiver;  // as its owner was known
};

}  // namespace millrace
