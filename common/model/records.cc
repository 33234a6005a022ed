#include "common/model/records.h"

namespace millrace {
namespace {

template <class T>
bool same(const std::shared_ptr<const T>& a, const std::shared_ptr<const T>& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

std::uint64_t mixed(std::uint64_t sum, std::uint64_t word) {
  sum ^= word + 0x9E3779B97F4A7C15ULL + (sum << 6) + (sum >> 2);
  sum *= 0xFF51AFD7ED558CCDULL;
  return sum ^ (sum >> 33);
}

}  // namespace

std::uint64_t trace_half(RunId run) { return hash64(to_string(run)); }

TraceId trace_of(RunId run, std::uint64_t nonce) {
  return to_string(Hash128{trace_half(run), hash64(to_string(run), nonce)});
}

bool operator==(const TaskRecord& a, const TaskRecord& b) {
  return a.state == b.state && a.reason == b.reason && a.cause == b.cause && a.failures == b.failures &&
         a.losses == b.losses && a.tries == b.tries && a.epoch == b.epoch && a.version == b.version &&
         a.ready == b.ready && a.dispatched == b.dispatched && a.ended == b.ended && a.due == b.due &&
         a.queued == b.queued && a.ran == b.ran && a.items == b.items && a.items_failed == b.items_failed &&
         same(a.worker, b.worker) && a.output == b.output && same(a.error, b.error) &&
         same_artifacts(a.artifacts, b.artifacts) && same(a.claim, b.claim);
}

bool operator==(const RunRecord& a, const RunRecord& b) {
  return a.state == b.state && a.reason == b.reason && a.version == b.version && a.seq == b.seq &&
         a.records_sum == b.records_sum && a.records_live == b.records_live && a.started == b.started &&
         a.ended == b.ended && a.outputs == b.outputs && a.signals == b.signals && a.why == b.why &&
         same(a.error, b.error);
}

std::uint64_t checksum(TaskIndex task, const TaskRecord& r) {
  if (r.version == 0) return 0;
  std::uint64_t sum = mixed(task.value, r.version);
  sum = mixed(sum, std::uint64_t{static_cast<std::uint8_t>(r.state)} << 8 | static_cast<std::uint8_t>(r.reason));
  sum = mixed(sum, std::uint64_t{r.tries} << 32 | std::uint64_t{r.failures} << 16 | r.losses);
  sum = mixed(sum, std::uint64_t{r.epoch});
  sum = mixed(sum, static_cast<std::uint64_t>(to_us(r.ended)));
  if (r.cause != Reason::kNone) sum = mixed(sum, std::uint64_t{static_cast<std::uint8_t>(r.cause)});
  if (r.items != 0) sum = mixed(sum, std::uint64_t{r.items} << 32 | r.items_failed);
  if (!r.output.is_null()) {
    if (r.output.is_reference()) sum = mixed(mixed(sum, r.output.hash().high), r.output.hash().low);
    else sum = mixed(sum, hash64(r.output.json()));
  }
  if (r.error != nullptr) sum = mixed(sum, hash64(r.error->message));
  if (r.artifacts != nullptr) {
    for (const Artifact& one : *r.artifacts) sum = mixed(mixed(sum, one.hash.high), one.hash.low);
  }
  if (r.claim != nullptr) sum = mixed(mixed(sum, r.claim->key.high), r.claim->key.low + (r.claim->has_old ? 1 : 0));
  return sum;
}

}  // namespace millrace
