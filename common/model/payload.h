// Payload: a value on its way, as the bytes of its JSON or, when larger than the inline limit, by content hash.
//
// Promises: immutable and shared; copying copies a pointer. The empty Payload is null and costs nothing. JSON is
// carried as bytes and parsed only where an expression needs it. Threads: may be read by any.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/base/hash.h"

namespace millrace {

constexpr std::size_t kInlineMaxDefault = 64 * 1024;     // one value inline
constexpr std::size_t kAssignmentMax = 1024 * 1024;      // all inline values of one assignment
constexpr std::size_t kValueMax = 256ULL * 1024 * 1024;  // one value at all

class Payload {
 public:
  Payload() = default;
  static Payload inline_json(std::string json) {
    Payload p;
    if (json != "null") p.body_ = std::make_shared<const Body>(Body{std::move(json), {}, 0});
    return p;
  }
  static Payload reference(Hash128 hash, std::uint64_t size) {
    Payload p;
    p.body_ = std::make_shared<const Body>(Body{{}, hash, size});
    return p;
  }

  bool is_null() const { return body_ == nullptr; }
  bool is_reference() const { return body_ != nullptr && !body_->hash.is_zero(); }
  bool is_inline() const { return !is_reference(); }
  // The JSON text of an inline value; "null" for the empty one. Not for references.
  std::string_view json() const { return body_ == nullptr ? std::string_view("null") : std::string_view(body_->json); }
  // The same, shared instead of lent. Not for references nor the empty one.
  std::shared_ptr<const std::string> json_text() const { return {body_, &body_->json}; }
  const Hash128& hash() const { return body_->hash; }  // references only
  std::uint64_t size() const {                         // bytes of JSON, wherever they are
    return body_ == nullptr ? 4 : is_reference() ? body_->size : body_->json.size();
  }
  const void* identity() const { return body_.get(); }  // same pointer, same value: for tables of shared values

  friend bool operator==(const Payload& a, const Payload& b) {
    if (a.body_ == b.body_) return true;
    if (a.is_null() || b.is_null()) return false;
    return a.body_->json == b.body_->json && a.body_->hash == b.body_->hash && a.body_->size == b.body_->size;
  }

 private:
  struct Body {
    std::string json;
    Hash128 hash;
    std::uint64_t size;
  };
  std::shared_ptr<const Body> body_;
};

}  // namespace millrace
