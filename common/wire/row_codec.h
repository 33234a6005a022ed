// Rows: the upstream adjacency of a definition as bytes (definition.proto, `rows`).
//
// Promises: read_rows(write_rows(a), ...) == a, but that no vertices read back as no offsets. Reading checks that there
// are exactly `nodes` rows and `edges` targets, all targets below `nodes`, rows ascending without repeats, and no bytes
// left; it allocates by `nodes` and `edges`, which its caller bounds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/adjacency.h"

namespace millrace {

std::string write_rows(const Adjacency& rows);
std::optional<Adjacency> read_rows(std::string_view bytes, std::uint32_t nodes, std::uint64_t edges);

}  // namespace millrace
