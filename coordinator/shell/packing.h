// Packing: varints, byte strings and the sealed envelope that every stored blob wears: one byte of format version, four
// bytes of checksum, then the body.
//
// Promises: a Packer only appends. An Unpacker reads untrusted bytes: it never reads outside them; the first thing that
// does not fit makes it fail for good, and every later read gives zero or empty. Threads: values, used by one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/hash.h"
#include "common/base/time.h"
#include "common/model/payload.h"

namespace millrace {

class Packer {
 public:
  void byte(std::uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void number(std::uint64_t value) {  // varint, 7 bits a byte, low bits first
    if (value < 0x80) bytes_.push_back(static_cast<char>(value));
    else long_number(value);
  }
  void difference(std::uint64_t value, std::uint64_t base);  // signed varint of value - base, modulo 2^64
  void time(Time value, Time base) { difference(bits(value), bits(base)); }
  void duration(Duration value) { difference(static_cast<std::uint64_t>(value.count()), 0); }
  void fixed32(std::uint32_t value);
  void fixed64(std::uint64_t value);  // little-endian
  void hash(const Hash128& value);
  void text(std::string_view value);  // length, bytes
  void raw(std::string_view value) { bytes_.append(value); }
  void payload(const Payload& value);

  // What is packed between open() and close() stands in an envelope; see seal().
  std::size_t open(std::uint8_t version);
  void close(std::size_t opened, std::uint8_t version, std::uint64_t place);
  // The number of bytes between begin_sized() and end_sized() stands before them, as fixed32.
  std::size_t begin_sized();
  void end_sized(std::size_t begun);

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }
  void clear() { bytes_.clear(); }  // its room stays

  static std::uint64_t bits(Time value) { return static_cast<std::uint64_t>(to_us(value)); }

 private:
  void long_number(std::uint64_t value);
  void patch32(std::size_t at, std::uint32_t value);
  std::string bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : left_(bytes) {}

  std::uint8_t byte();
  std::uint64_t number();
  std::uint32_t number32();  // fails above 2^32 - 1
  std::uint64_t difference(std::uint64_t base);
  Time time(Time base) { return from_us(static_cast<std::int64_t>(difference(Packer::bits(base)))); }
  Duration duration() { return Duration{static_cast<std::int64_t>(difference(0))}; }
  std::uint32_t fixed32();
  std::uint64_t fixed64();
  Hash128 hash();
  std::string_view text();  // a loan of the bytes read from
  Payload payload();
  // A count of things that take at least `each` bytes: fails when they cannot all be there.
  std::size_t count(std::size_t each);

  bool failed() const { return failed_; }
  bool done() const { return !failed_ && left_.empty(); }
  void fail();

 private:
  std::string_view take(std::size_t size);

  std::string_view left_;
  bool failed_ = false;
};

// The envelope. `place` says where the blob belongs (run, commit ...), so that one copied elsewhere does not open.
std::string seal(std::uint8_t version, std::uint64_t place, std::string_view body);
std::optional<std::string_view> unseal(std::uint8_t version, std::uint64_t place, std::string_view sealed);
// The envelope alone, of a body that comes part after part: add() it to what sealing() gives.
constexpr std::size_t kSealBytes = 5;
HashStream sealing(std::uint8_t version, std::uint64_t place);
std::string envelope(std::uint8_t version, const HashStream& body);
// "" where the envelope has this version or an older one; else what to say of it: what a newer Millrace has written is
// refused by name (`newer_version`) and never taken for damage, nor misread.
std::string newer_version(std::uint8_t version, std::string_view sealed);
std::uint64_t place_of(std::uint64_t a, std::uint64_t b = 0);

}  // namespace millrace
