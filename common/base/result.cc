#include "common/base/result.h"

namespace millrace {

const char* to_string(Code code) {
  switch (code) {
    case Code::kInvalid: return "invalid";
    case Code::kNotFound: return "not_found";
    case Code::kTimeout: return "timeout";
    case Code::kUnavailable: return "unavailable";
    case Code::kRefused: return "refused";
    case Code::kConflict: return "conflict";
    case Code::kCancelled: return "cancelled";
    case Code::kFailed: return "failed";
    case Code::kInternal: return "internal";
  }
  return "internal";
}

}  // namespace millrace
