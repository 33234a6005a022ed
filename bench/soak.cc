// Soak: many small runs, few of which are kept: whether anything grows for ever.
#include <algorithm>
#include <cstdio>

#include "bench/graphs.h"
#include "bench/scenarios.h"

namespace millrace::bench {
namespace {

constexpr std::uint32_t kParts = 10;
constexpr std::uint32_t kWarmParts = 4;  // until the kept runs, caches and tables are full
constexpr std::uint32_t kLastParts = 3;  // the least of these counts: what waits to be deleted breathes, too
constexpr double kGrowthMax = 1.10;      // of one kind of process, from then on
constexpr double kGrowthFreeMb = 8;      // and this much: allocators breathe
constexpr double kRingMb = 24;           // commits of the last ten seconds, which a short soak does not fill

struct Memory {  // MB
  double coordinator = 0;
  double workers = 0;
  double redis = 0;
  double redis_used = 0;  // by its own account
};

class Soak : public Scenario {
 public:
  explicit Soak(const Options& options)
      : in_flight_(options.in_flight), runs_(std::max(kParts, options.tasks / 4) / kParts * kParts) {}

  void watch(const Cluster& cluster) override { cluster_ = &cluster; }

  Status prepare(RawClient& client) override {
    Measured ignored;
    return drive(client, diamond(), {4, 200, std::min(8U, in_flight_)}, ignored);
  }

  Status run(RawClient& client, Measured& out) override {
    std::fprintf(stderr, "%12s %16s %12s %12s %18s\n", "tasks", "coordinator MB", "workers MB", "redis MB",
                 "redis used MB");
    for (std::uint32_t part = 1; part <= kParts; ++part) {
      Measured one;
      if (Status done = drive(client, diamond(), {4, runs_ / kParts, in_flight_}, one); !done.ok()) return done;
      out.total_s += one.total_s;
      out.runs += one.runs;
      out.tasks += one.tasks;
      out.latencies_ms.insert(out.latencies_ms.end(), one.latencies_ms.begin(), one.latencies_ms.end());
      const Memory now = look();
      parts_.push_back(now);
      std::fprintf(stderr, "%12u %16.1f %12.1f %12.1f %18.2f\n", out.tasks, now.coordinator, now.workers, now.redis,
                   now.redis_used);
      const std::string name = "after_" + std::to_string(part) + "0_percent.";
      out.figures[name + "coordinator_mb"] = now.coordinator;
      out.figures[name + "workers_mb"] = now.workers;
      out.figures[name + "redis_mb"] = now.redis;
      out.figures[name + "redis_used_mb"] = now.redis_used;
    }
    return Done{};
  }

  Status check(RawClient&, Measured&) override {
    std::string grown;
    auto held = [&](const char* what, double Memory::*of, double free_mb = kGrowthFreeMb) {
      double before = 0;
      double after = parts_.back().*of;
      for (std::uint32_t i = 0; i < kWarmParts; ++i) before = std::max(before, parts_[i].*of);
      for (std::uint32_t i = kParts - kLastParts; i < kParts; ++i) after = std::min(after, parts_[i].*of);
      if (after <= before * kGrowthMax + free_mb) return;
      char text[128];
      std::snprintf(text, sizeof text, "%s from %.1f to %.1f MB", what, before, after);
      grown += (grown.empty() ? "" : ", ") + std::string(text);
    };
    held("the coordinator", &Memory::coordinator, kRingMb);
    held("the workers", &Memory::workers);
    held("Redis", &Memory::redis);
    held("what Redis uses", &Memory::redis_used);
    if (!grown.empty()) return failure("memory grows: " + grown);
    return Done{};
  }

 private:
  Memory look() const {
    return {cluster_->coordinator().rss_now_mb, cluster_->workers().rss_now_mb, cluster_->redis().rss_now_mb,
            static_cast<double>(cluster_->redis_bytes()) / 1e6};
  }

  const Cluster* cluster_ = nullptr;
  std::uint32_t in_flight_;
  std::uint32_t runs_;
  std::vector<Memory> parts_;
};

}  // namespace

std::unique_ptr<Scenario> make_soak(const Options& options) { return std::make_unique<Soak>(options); }

void adjust_soak(Options& options) {
  options.cluster.settings = {{"MILLRACE_RETENTION_COUNT", "1000"}, {"MILLRACE_KEY_LIFE", "5s"}};
}

}  // namespace millrace::bench
