// Result: a value, or an Error that says what was attempted and what the caller can do.
//
// Use it where the world misbehaved (bad file, peer gone). Our own broken promises are asserts.
#pragma once

#include <cassert>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace millrace {

// Few codes, chosen by what the caller can do.
enum class Code : std::uint8_t {
  kInvalid,      // fix the request
  kNotFound,     // look elsewhere
  kTimeout,      // waited long enough
  kUnavailable,  // retry later: peer or store gone
  kRefused,      // a limit or a rule says no (the message names it)
  kConflict,     // the state it was meant for has changed
  kCancelled,    // somebody cancelled it
  kFailed,       // it was done and did not succeed
  kInternal,     // our own fault, contained
};
const char* to_string(Code code);

// Where in a user's text something is wrong, and the way out.
struct Problem {
  std::string file;
  int line = 0;    // 1-based; 0: no position
  int column = 0;  // 1-based
  std::string message;
  std::string expected;  // what would have been right; may be empty
  std::string hint;      // "did you mean ..."; may be empty
  bool operator==(const Problem&) const = default;
};

struct Error {
  Code code = Code::kInternal;
  std::string what;
  std::vector<Problem> details;
  std::string name;  // the named limit or rule (`queue_full`, `id_in_use` ...); may be empty
  bool operator==(const Error&) const = default;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit on purpose
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }

  const Error& error() const& {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    assert(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

struct Done {  // the value of a Result that has nothing to carry
  bool operator==(const Done&) const = default;
};
using Status = Result<Done>;

}  // namespace millrace
