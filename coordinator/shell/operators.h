// What the coordinator tells its operators over HTTP (docs/operations.md): readiness, metrics, /v1/scale.
//
// Threads: built on the loop's thread from a snapshot, read on the server's. Fails: never.
#pragma once

#include <cstdint>
#include <string>

#include "common/io/operator_http.h"
#include "coordinator/shell/access.h"
#include "coordinator/shell/meter.h"

namespace millrace {

class CoordinatorState final : public OperatorState {
 public:
  CoordinatorState(LoopSnapshot loop, std::uint64_t frames_refused, const PeersRefused& peers_refused = {})
      : loop_(std::move(loop)), frames_refused_(frames_refused), peers_refused_(peers_refused) {}
  static constexpr char kScale[] = "/v1/scale";

  Readiness readiness() const override;
  void metrics(MetricsPage& page) const override;
  std::optional<HttpReply> page(const HttpRequest& request) const override;

 private:
  void run_metrics(MetricsPage& page) const;
  void trigger_metrics(MetricsPage& page) const;
  void task_metrics(MetricsPage& page) const;
  void store_metrics(MetricsPage& page) const;
  void fleet_metrics(MetricsPage& page) const;
  void house_metrics(MetricsPage& page) const;

  LoopSnapshot loop_;
  std::uint64_t frames_refused_;
  PeersRefused peers_refused_;
};

// How many workers would have a slot for everything that waits or runs, if each had as many as those of now have on
// average. Without demand: 0. Without a worker to go by: 1, which tells how many slots one has.
std::uint64_t workers_suggested(std::uint64_t demand, std::uint64_t slots, std::uint64_t workers);

std::string scale_json(const LoopSnapshot& loop);  // of docs/http-schemas/scale.json

}  // namespace millrace
