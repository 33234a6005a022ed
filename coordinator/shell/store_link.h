// Store link: a blocking connection to a cluster's Redis for the store tool.
//
// Threads: one. Fails: an Error of the connection; a reply that is an error is an Error as well.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/io/redis_net.h"
#include "coordinator/shell/ports.h"

namespace millrace {

class StoreLink {
 public:
  static Result<StoreLink> open(const RedisTarget& target, Duration timeout);

  // All of them at once, to the node of `key`, in order.
  Result<std::vector<RedisReply>> ask(std::string_view key, const std::vector<RedisCommand>& commands);
  Result<RedisReply> ask(const RedisCommand& command);      // to the node of its key
  Result<RedisReply> try_ask(const RedisCommand& command);  // likewise; a reply that is an error is an answer
  // MULTI, the commands, EXEC: the replies as of one moment; errors among them are answers. All keys have the slot of
  // `key`.
  Result<std::vector<std::vector<RedisReply>>> at_once(std::string_view key,
                                                       const std::vector<std::vector<RedisCommand>>& groups);
  Result<std::vector<std::string>> scan(const std::string& pattern);  // keys of all nodes, sorted, each once
  Result<std::uint16_t> partitions();                                 // of the cluster that lives here; zero: none
  Status load();                                                      // the function library
  Result<OwnerRecord> owner(PartitionId partition);
  // Names of coordinators whose beat changes while it looks: more than two seconds.
  Result<std::vector<std::string>> living(std::uint16_t partitions);
  Status pause_writes(std::string_view key, Duration at_most);  // zero: no more
  std::size_t nodes() const { return net_.nodes.size(); }
  Redis& node(std::size_t i) { return *net_.nodes[i].connection; }
  std::string where() const { return where_; }

 private:
  Redis& node_of(std::string_view key) { return *net_.nodes[net_.node_for(key)].connection; }
  RedisNet net_;
  Duration timeout_{};
  std::string where_;
};

}  // namespace millrace
