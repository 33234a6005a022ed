#include "coordinator/shell/pause_codec.h"

namespace millrace {
namespace {

constexpr std::uint64_t kPausePlace = 18;

std::uint64_t place(PartitionId partition, std::string_view field) {
  return place_of(place_of(kPausePlace, partition.value), hash64(field));
}

}  // namespace

std::string pause_field(const PauseName& what) {
  std::string field = what.kind == PauseKind::kWorkflow ? "workflow" : "queue";
  return field.append(1, '\0').append(what.tenant).append(1, '\0').append(what.name);
}

void pack(Packer& out, const Pause& pause) {
  out.byte(static_cast<std::uint8_t>(pause.what.kind));
  out.text(pause.what.tenant);
  out.text(pause.what.name);
  out.time(pause.since, Time{});
  out.text(pause.caller);
  out.text(pause.why);
}

Pause unpack_pause(Unpacker& in) {
  Pause pause;
  const std::uint8_t kind = in.byte();
  if (kind > static_cast<std::uint8_t>(kPauseKindLast)) in.fail();
  pause.what.kind = static_cast<PauseKind>(kind);
  pause.what.tenant = in.text();
  pause.what.name = in.text();
  pause.since = in.time(Time{});
  pause.caller = in.text();
  pause.why = in.text();
  if (in.failed()) return {};
  return pause;
}

std::string encode_pause(PartitionId partition, const Pause& pause) {
  Packer out;
  pack(out, pause);
  return seal(kPauseVersion, place(partition, pause_field(pause.what)), out.bytes());
}

Result<Pause> decode_pause(PartitionId partition, std::string_view field, std::string_view bytes) {
  const auto body = unseal(kPauseVersion, place(partition, field), bytes);
  if (!body) {
    const std::string newer = newer_version(kPauseVersion, bytes);
    if (!newer.empty()) return Error{Code::kRefused, "a pause " + newer, {}, "newer_version"};
    return Error{Code::kInternal, "a pause: wrong version or checksum", {}, "damaged"};
  }
  Unpacker in(*body);
  Pause pause = unpack_pause(in);
  if (!in.done() || pause_field(pause.what) != field)
    return Error{Code::kInternal, "a pause: does not parse", {}, "damaged"};
  return pause;
}

}  // namespace millrace
