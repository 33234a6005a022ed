#include "coordinator/shell/member_codec.h"

#include "coordinator/shell/packing.h"

namespace millrace {
namespace {

constexpr std::uint8_t kVersion = 1;

}  // namespace

std::string encode_member(const MemberRecord& member) {
  Packer out;
  out.fixed64(member.nonce);
  out.number(member.beat);
  out.text(member.endpoint);
  out.text(member.events);
  out.text(member.version);
  out.time(member.since, Time{});
  out.byte(member.draining ? 1 : 0);
  out.text(member.durability);
  out.text(member.weaker);
  return seal(kVersion, hash64(member.name), out.bytes());
}

std::optional<MemberRecord> decode_member(std::string_view name, std::string_view sealed) {
  const auto body = unseal(kVersion, hash64(name), sealed);
  if (!body) return std::nullopt;
  Unpacker in(*body);
  MemberRecord member;
  member.name = name;
  member.nonce = in.fixed64();
  member.beat = in.number();
  member.endpoint = in.text();
  member.events = in.text();
  member.version = in.text();
  member.since = in.time(Time{});
  member.draining = (in.byte() & 1U) != 0;
  if (in.failed()) return std::nullopt;
  if (in.done()) return member;  // of a version that said no more
  member.durability = in.text();
  member.weaker = in.text();  // what a later version appends is left unread
  if (in.failed()) return std::nullopt;
  return member;
}

}  // namespace millrace
