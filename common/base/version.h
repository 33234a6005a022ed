// The version of this build, as programs print it and peers tell each other.
#pragma once

namespace millrace {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace millrace
