#include "coordinator/shell/packing.h"

namespace millrace {
namespace {

// How a payload's bytes are to be read.
enum PayloadKind : std::uint8_t { kNull, kInline, kReference };

std::uint32_t checksum_of(std::uint8_t version, std::uint64_t place, std::string_view body) {
  return static_cast<std::uint32_t>(hash64(body, place_of(place, version)));
}

}  // namespace

void Packer::long_number(std::uint64_t value) {
  char text[10];
  std::size_t size = 0;
  for (; value >= 0x80; value >>= 7) text[size++] = static_cast<char>(value | 0x80);
  text[size++] = static_cast<char>(value);
  bytes_.append(text, size);
}

void Packer::difference(std::uint64_t value, std::uint64_t base) {
  std::uint64_t delta = value - base;
  bool negative = (delta >> 63) != 0;
  number((delta << 1) ^ (negative ? ~std::uint64_t{0} : 0));
}

void Packer::fixed32(std::uint32_t value) {
  bytes_.append(4, '\0');
  patch32(bytes_.size() - 4, value);
}

void Packer::fixed64(std::uint64_t value) {
  char text[8];
  for (char& c : text) {
    c = static_cast<char>(value);
    value >>= 8;
  }
  bytes_.append(text, sizeof text);
}

void Packer::patch32(std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i, value >>= 8) bytes_[at + i] = static_cast<char>(value);
}

std::size_t Packer::open(std::uint8_t version) {
  byte(version);
  bytes_.append(4, '\0');
  return bytes_.size();
}

void Packer::close(std::size_t opened, std::uint8_t version, std::uint64_t place) {
  patch32(opened - 4, checksum_of(version, place, std::string_view(bytes_).substr(opened)));
}

std::size_t Packer::begin_sized() {
  bytes_.append(4, '\0');
  return bytes_.size();
}

void Packer::end_sized(std::size_t begun) { patch32(begun - 4, static_cast<std::uint32_t>(bytes_.size() - begun)); }

void Packer::hash(const Hash128& value) {
  fixed64(value.high);
  fixed64(value.low);
}

void Packer::text(std::string_view value) {
  number(value.size());
  bytes_.append(value);
}

void Packer::payload(const Payload& value) {
  if (value.is_null()) return byte(kNull);
  if (value.is_reference()) {
    byte(kReference);
    hash(value.hash());
    return number(value.size());
  }
  byte(kInline);
  text(value.json());
}

// ---------------------------------------------------------------- Unpacker

void Unpacker::fail() {
  failed_ = true;
  left_ = {};
}

std::string_view Unpacker::take(std::size_t size) {
  if (size > left_.size()) {
    fail();
    return {};
  }
  std::string_view taken = left_.substr(0, size);
  left_.remove_prefix(size);
  return taken;
}

std::uint8_t Unpacker::byte() {
  std::string_view one = take(1);
  return one.empty() ? 0 : static_cast<std::uint8_t>(one[0]);
}

std::uint64_t Unpacker::number() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    std::uint8_t part = byte();
    if (shift == 63 && part > 1) break;
    value |= std::uint64_t{part & 0x7FU} << shift;
    if (part < 0x80) return value;
  }
  fail();
  return 0;
}

std::uint32_t Unpacker::number32() {
  std::uint64_t value = number();
  if (value > UINT32_MAX) {
    fail();
    return 0;
  }
  return static_cast<std::uint32_t>(value);
}

std::uint64_t Unpacker::difference(std::uint64_t base) {
  std::uint64_t folded = number();
  return base + ((folded >> 1) ^ (0 - (folded & 1)));
}

std::uint32_t Unpacker::fixed32() {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{byte()} << (8 * i);
  return value;
}

std::uint64_t Unpacker::fixed64() {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < 8; ++i) value |= std::uint64_t{byte()} << (8 * i);
  return value;
}

Hash128 Unpacker::hash() {
  Hash128 value;
  value.high = fixed64();
  value.low = fixed64();
  return value;
}

std::string_view Unpacker::text() {
  std::uint64_t size = number();
  if (size > left_.size()) {
    fail();
    return {};
  }
  return take(size);
}

Payload Unpacker::payload() {
  switch (byte()) {
    case kNull: return {};
    case kInline: return Payload::inline_json(std::string(text()));
    case kReference: {
      Hash128 named = hash();
      if (named == Hash128{}) fail();  // nothing has this name
      return Payload::reference(named, number());
    }
    default: fail(); return {};
  }
}

std::size_t Unpacker::count(std::size_t each) {
  std::uint64_t value = number();
  if (value > left_.size() / each) {
    fail();
    return 0;
  }
  return value;
}

// ---------------------------------------------------------------- the envelope

std::string seal(std::uint8_t version, std::uint64_t place, std::string_view body) {
  std::string sealed;
  sealed.reserve(kSealBytes + body.size());
  Packer head;
  head.byte(version);
  head.fixed32(checksum_of(version, place, body));
  return sealed.append(head.bytes()).append(body);
}

HashStream sealing(std::uint8_t version, std::uint64_t place) { return HashStream(place_of(place, version)); }

std::string envelope(std::uint8_t version, const HashStream& body) {
  Packer head;
  head.byte(version);
  head.fixed32(static_cast<std::uint32_t>(body.sum64()));
  return head.take();
}

std::optional<std::string_view> unseal(std::uint8_t version, std::uint64_t place, std::string_view sealed) {
  if (sealed.size() < kSealBytes) return std::nullopt;
  Unpacker head(sealed.substr(0, kSealBytes));
  if (head.byte() != version) return std::nullopt;
  std::string_view body = sealed.substr(kSealBytes);
  if (head.fixed32() != checksum_of(version, place, body)) return std::nullopt;
  return body;
}

std::string newer_version(std::uint8_t version, std::string_view sealed) {
  if (sealed.size() < kSealBytes) return "";
  const auto written = static_cast<std::uint8_t>(sealed[0]);
  static constexpr std::uint8_t kVersionsMax = 64;  // what is above is no number of ours
  if (written <= version || written > kVersionsMax) return "";
  return "was written by a newer Millrace (version " + std::to_string(written) + ", this one reads up to " +
         std::to_string(version) + "): upgrade this coordinator";
}

std::uint64_t place_of(std::uint64_t a, std::uint64_t b) {
  std::uint64_t mixed = (a ^ (b * 0x9E3779B97F4A7C15ULL)) * 0xFF51AFD7ED558CCDULL;
  return mixed ^ (mixed >> 32) ^ b;
}

}  // namespace millrace
