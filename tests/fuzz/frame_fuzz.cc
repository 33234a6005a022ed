// Fuzz: every decoder that reads bytes from a socket or a store. The first byte chooses which. Whatever is accepted
// must survive another round: what was decoded encodes to something that decodes to the same.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/wire/codec.h"
#include "common/wire/frame.h"

namespace {

using namespace millrace;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "frame_fuzz: %s\n", what);
  std::abort();
}

void fuzz_worker(std::string_view bytes) {
  const Result<WorkerMessage> message = decode_worker_message(bytes);
  if (!message.ok()) return;
  const Result<WorkerMessage> again = decode_worker_message(encode(*message));
  require(again.ok() && *again == *message, "a worker message changed");
}

void fuzz_coordinator(std::string_view bytes) {
  SpecCache cache;
  const Result<CoordinatorMessage> message = decode_coordinator_message(bytes, cache);
  if (!message.ok()) return;
  SentSpecs sent;
  SpecCache fresh;
  const Result<CoordinatorMessage> again = decode_coordinator_message(encode(*message, sent), fresh);
  require(again.ok() && again->index() == message->index(), "a coordinator message changed");
}

void fuzz_request(std::string_view bytes) {
  const auto request = decode_request(bytes);
  if (!request.ok()) return;
  const std::string encoded = encode_request(request->first, request->second);
  const auto again = decode_request(encoded);
  require(again.ok() && encode_request(again->first, again->second) == encoded, "a request changed");
}

void fuzz_reply(std::string_view bytes) {
  const auto reply = decode_reply(bytes);
  if (!reply.ok()) return;
  const std::string encoded = encode_reply(reply->first, reply->second);
  const auto again = decode_reply(encoded);
  require(again.ok() && encode_reply(again->first, again->second) == encoded, "a reply changed");
}

void fuzz_events(std::string_view bytes) {
  const Result<std::vector<Event>> events = decode_events(bytes);
  if (!events.ok()) return;
  const Result<std::vector<Event>> again = decode_events(encode_events(*events));
  require(again.ok() && *again == *events, "events changed");
}

void fuzz_definition(std::string_view bytes) {
  const Result<WorkflowSpec> spec = decode_definition(bytes);
  if (!spec.ok()) return;
  const Result<WorkflowSpec> again = decode_definition(encode_definition(*spec));
  require(again.ok() && *again == *spec, "a definition changed");
}

void fuzz_envelope(std::string_view bytes) {
  const std::string_view parts[] = {bytes.substr(0, kEnvelopeBytes),
                                    bytes.substr(std::min(bytes.size(), kEnvelopeBytes))};
  const Result<std::string_view> body = open_frame(parts, FrameKind::kRequest);
  if (body.ok()) fuzz_request(*body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 7) {
    case 0: fuzz_worker(bytes); break;
    case 1: fuzz_coordinator(bytes); break;
    case 2: fuzz_request(bytes); break;
    case 3: fuzz_reply(bytes); break;
    case 4: fuzz_events(bytes); break;
    case 5: fuzz_definition(bytes); break;
    default: fuzz_envelope(bytes); break;
  }
  return 0;
}
