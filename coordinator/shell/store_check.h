// Store check: reads everything that a cluster keeps and says what does not fit (store_tool.h).
//
// Promises: only reads. What is found holds at some moment of the check: candidates of a live cluster are judged by
// replies of one MULTI. Threads: blocks. Fails: only where Redis cannot be read.
#pragma once

#include "coordinator/shell/store_link.h"
#include "coordinator/shell/store_tool.h"

namespace millrace {

Result<StoreCheck> check_store(StoreLink& link, std::uint16_t partitions);
Result<StoreCheck> check_partition(StoreLink& link, PartitionId partition);

}  // namespace millrace
