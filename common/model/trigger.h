// Triggers: what starts runs of a workflow by itself. As written; when they fire is decided by common/schedule.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/time.h"
#include "common/base/value.h"
#include "common/model/task_state.h"

namespace millrace {

constexpr std::size_t kTriggersMax = 64;  // of one workflow
constexpr std::size_t kCronMax = 256;     // bytes of a cron text
constexpr std::size_t kZoneNameMax = 64;
constexpr Duration kJitterMax = 24h;
constexpr std::uint32_t kCatchUpMax = 10'000;

// What a firing does while the run of the one before has not ended.
enum class Overlap : std::uint8_t {
  kSkip,    // nothing
  kQueue,   // it waits, and starts when that run has ended
  kAllow,   // it starts beside it
  kCancel,  // that run is cancelled, and it starts
};

// Which firings are made up for that came while nobody could make them.
enum class CatchUp : std::uint8_t { kNone, kOne, kAll };  // one: the last of them

struct ScheduleSpec {
  std::string cron;              // five fields, or @hourly ...: see common/schedule/cron.h
  std::string timezone = "UTC";  // a name of the time zone database
  Duration jitter = Duration::zero();
  Overlap overlap = Overlap::kSkip;
  CatchUp catch_up = CatchUp::kOne;
  std::uint32_t catch_up_limit = 100;  // of kAll: the last so many
  bool operator==(const ScheduleSpec&) const = default;
};

// The end of a run of another workflow of the tenant, registered or not.
struct RunEndSpec {
  std::string workflow;
  std::vector<RunState> statuses = {};  // terminal ones, ascending; none: however it ends
  bool operator==(const RunEndSpec&) const = default;
};

// How a webhook knows its sender: HMAC-SHA256 of the body under the secret, or the secret itself as bearer token.
enum class HookAuth : std::uint8_t { kSignature, kBearer };

constexpr std::size_t kHookHeadersMax = 16;      // that expressions see
constexpr std::size_t kHeaderNameMax = 64;       // bytes
constexpr std::size_t kDeliveryHeadersMax = 64;  // that come with a delivery
constexpr std::size_t kHookBodyMax = 256 << 10;  // bytes of a delivery

// POST /v1/hooks/WORKFLOW/TRIGGER. Names of headers are in lower case.
struct WebhookSpec {
  std::string secret;  // its name among the secrets of the coordinators
  HookAuth auth = HookAuth::kSignature;
  std::string signature_header = "x-hub-signature-256";
  std::string delivery_header = "x-delivery-id";  // names a delivery; empty: its body does
  std::vector<std::string> headers = {};          // that `event.headers` has
  bool operator==(const WebhookSpec&) const = default;
};

// Entries of a Redis stream. Its server stands in the configuration of the coordinators, by name.
struct StreamSpec {
  std::string redis;
  std::string key;
  bool from_begin = false;  // of the stream; else what comes from when the trigger is applied
  bool operator==(const StreamSpec&) const = default;
};
constexpr std::size_t kStreamNameMax = 64;    // bytes
constexpr std::size_t kStreamKeyMax = 1'024;  // likewise

// Key-space events of such a server: what happens to keys that a pattern matches. At most once: what happens while
// nobody listens is not heard of.
struct KeyspaceSpec {
  std::string redis;
  std::string pattern;                   // as PSUBSCRIBE has them
  std::vector<std::string> events = {};  // set, expired, del ...; none: whatever happens
  bool operator==(const KeyspaceSpec&) const = default;
};
constexpr std::size_t kKeyspaceEventsMax = 32;

constexpr Duration kWindowMax = 24h;
constexpr std::uint32_t kCollectMax = 1'000;         // events of one firing
constexpr std::size_t kCollectBytesMax = 256 << 10;  // of what waits: more fires at once
constexpr std::uint32_t kDebounceLongestTimes = 10;  // a debounce that says no more lasts so many times its pause

// What makes one firing of several events. Either a debounce (fires when nothing has come for a while; the latest
// counts) or a batch (fires when it is full, or a while after the first; all count). Both zero: each event fires.
struct CollectSpec {
  Duration debounce{};
  Duration longest{};       // of a debounce: so long after the first event at most
  std::uint32_t batch = 0;  // events at most
  Duration window{};        // of a batch
  bool on() const { return debounce > Duration::zero() || batch > 0; }
  bool operator==(const CollectSpec&) const = default;
};

// What becomes of an event that a trigger awaits.
enum class EventFate : std::uint8_t {
  kFired,
  kWaits,      // for others, in a debounce or a batch
  kDuplicate,  // it has come before
  kFiltered,
  kPaused,
  kFailed,  // it can start nothing
};

std::string_view to_string(EventFate fate);  // "fired", "waits" ...

// Either timed (its schedule has a cron), or fired by events: ends of runs, a webhook, a stream, or a key-space.
struct TriggerSpec {
  std::string name;  // like a node's id
  ScheduleSpec schedule;
  Value inputs = Value::Object{};  // of the runs: JSON with expressions over `event`
  std::optional<RunEndSpec> run_end = {};
  std::string filter = {};  // one expression over `event`: where it does not hold, nothing fires; empty: none
  std::optional<WebhookSpec> webhook = {};
  CollectSpec collect = {};
  std::optional<StreamSpec> stream = {};
  std::optional<KeyspaceSpec> keyspace = {};
  bool operator==(const TriggerSpec&) const = default;
};

}  // namespace millrace
