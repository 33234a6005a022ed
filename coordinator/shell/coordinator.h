// Coordinator: the process around a Loop: gateway, store, bus and clock of production, in one thread.
//
// Threads: run() is the coordinator's thread; stop() and reload() may be called from any thread and from a signal
// handler.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "coordinator/core/retention.h"
#include "coordinator/shell/durability.h"

namespace millrace {

class ZmqContext;

struct CoordinatorOptions {
  std::string name;                                            // --id; empty: host name and process id
  std::vector<std::string> listen = {"tcp://127.0.0.1:5711"};  // workers and clients
  std::string events = "tcp://127.0.0.1:5712";                 // XPUB
  std::string advertise;         // where the others reach this one; empty: the first address it listens at
  std::string advertise_events;  // likewise, of `events`
  std::string store = "redis";   // redis | memory
  std::string redis = "redis://127.0.0.1:6379/0";
  Durability durability;
  Duration spin{};  // how long an idle loop looks for what comes next before it sleeps; zero: sleeps at once
  std::optional<Duration> unplaceable_after = {};  // a task that no worker could run fails after so long; never
  bool fixed_fleet = false;                        // no worker joins but the first (embedded)
  std::uint16_t partitions = 16;                   // fixed at cluster creation
  std::string curve_key;                           // file of our secret key; empty: peers are not authenticated
  std::string curve_authorized;                    // file of the allow-list; goes with curve_key
  std::string http;                                // HOST:PORT for operators; empty: none
  std::string http_token;                          // what all its pages but the probes need; empty: nothing
  std::uint32_t hooks_per_second = 500;            // deliveries to webhooks that are taken over HTTP
  std::uint32_t hook_per_second = 200;             // of one webhook
  std::string secrets_file;                    // encrypted: what webhooks are known by; empty: there are no webhooks
  std::string secrets_key_file;                // empty: secrets_file with .key at its end
  std::vector<std::string> stream_redis = {};  // NAME=URL: where the streams of triggers are
  bool insecure_listen = false;             // listen where other machines can reach us though nobody is authenticated
  std::uint32_t runs_max = 1'000'000;       // live runs: above it a submission is refused (queue_full)
  std::uint64_t tasks_max = 50'000'000;     // tasks of live runs
  std::uint64_t run_tasks_max = 2'000'000;  // nodes of one run, and items of those that are mapped
  std::uint64_t list_min = 1ULL << 20U;     // a larger output of a fan-out is a list reference
  std::uint64_t bytes_max = 8ULL << 30U;    // inputs and outputs of live runs
  std::uint32_t tenant_runs_max = 0;        // of one tenant; zero: no limit of its own
  std::uint64_t tenant_tasks_max = 0;
  RetentionPolicy retention = {};
  Duration key_life = 24h;       // an idempotency key is remembered as long as its run, and at least this
  Duration value_grace = 10min;  // a value that no run needs and nobody uses stays this long
};

class Coordinator {
 public:
  static Result<std::unique_ptr<Coordinator>> create(ZmqContext& context, CoordinatorOptions options);
  virtual ~Coordinator() = default;
  virtual Status run() = 0;  // until stop(); gives its partitions up in an orderly way
  virtual void stop() = 0;
  virtual void reload() = 0;                               // reads the allow-list again; as stop() from anywhere
  virtual std::vector<std::string> endpoints() const = 0;  // where it really listens (ports filled in)
  virtual std::string events_endpoint() const = 0;
  virtual std::string public_key() const = 0;    // for --curve-server-key; empty without CURVE
  virtual std::string http_address() const = 0;  // HOST:PORT; empty: none
};

}  // namespace millrace
