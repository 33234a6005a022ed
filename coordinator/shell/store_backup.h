// Store backup: everything that a cluster keeps, in one file, and back (store_tool.h).
//
// File: the line "MILLRACE-BACKUP 1\n", then records of one byte, packed (packing.h) and closed by the hash64 of all
// that stands before them in the record: 'P' partition and the commit it is at, 'K' key and what DUMP gave, 'E' how
// many keys there were. A file without its 'E' is not whole.
//
// Promises: each partition is as it was at one commit; the cluster as a whole is not, as partitions speak by messages
// only. The file appears when it is whole. Threads: blocks. Fails: an Error names file and what does not fit.
#pragma once

#include "coordinator/shell/store_link.h"
#include "coordinator/shell/store_tool.h"

namespace millrace {

Result<StoreCopy> backup_store(StoreLink& link, std::uint16_t partitions, const std::string& file);
Result<StoreCopy> restore_store(StoreLink& link, const std::string& file, bool force);

}  // namespace millrace
