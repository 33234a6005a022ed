// Redis sweep: how the server is, for operators.
#include <algorithm>
#include <iterator>

#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_sweep.h"

namespace millrace {
namespace {

class ExamineRead : public RedisRead {
 public:
  bool takes_error(std::string_view) const override { return true; }  // a user that may not ask is told less

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    if (replies.empty()) {
      commands.push_back({"INFO"});
      commands.push_back({"FCALL", "millrace_version", "0"});
      commands.push_back({"HGET", kMetaKey, "format"});
      for (const char* name : kSettings) commands.push_back({"CONFIG", "GET", name});
      return std::nullopt;
    }
    ServerFacts health;
    health.kind = "redis";
    take_info(replies[0].text, health);
    if (replies[1].is_integer()) health.function_version = static_cast<std::uint32_t>(replies[1].integer);
    health.format = number_of<std::uint32_t>(replies[2].text);
    std::string* const settings[] = {&health.eviction, &health.appendonly, &health.appendfsync, &health.save};
    for (std::size_t i = 0; i < std::size(settings); ++i) {
      const RedisReply& reply = replies[3 + i];
      if (reply.items.size() != 2) continue;
      *settings[i] = reply.items[1].text;
      health.config_told = true;
    }
    return HealthAnswer{std::move(health)};
  }

 private:
  static constexpr const char* kSettings[] = {"maxmemory-policy", "appendonly", "appendfsync", "save"};

  static void take_info(std::string_view text, ServerFacts& health) {
    bool aof = false;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) continue;
      const std::string_view name = line.substr(0, colon);
      const std::string_view value = line.substr(colon + 1);
      if (name == "redis_version") health.version = value;
      else if (name == "redis_mode") health.mode = value;
      else if (name == "role") health.role = value;
      else if (name == "used_memory") health.used_bytes = number_of<std::uint64_t>(value);
      else if (name == "maxmemory") health.max_bytes = number_of<std::uint64_t>(value);
      else if (name == "maxmemory_policy") health.eviction = value;
      else if (name == "connected_slaves") health.replicas = number_of<std::uint32_t>(value);
      else if (name == "aof_enabled") aof = value == "1";
      else if (name == "aof_last_write_status" && value != "ok") health.last_write_failed = "aof";
      else if (name == "rdb_last_bgsave_status" && value != "ok" && health.last_write_failed.empty())
        health.last_write_failed = "rdb";
    }
    health.appendonly = aof ? "yes" : "no";
  }
};

}  // namespace

std::unique_ptr<RedisRead> make_examine() { return std::make_unique<ExamineRead>(); }

}  // namespace millrace
