#include "common/wire/row_codec.h"

#include <cstddef>
#include <span>

namespace millrace {
namespace {

void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

constexpr std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

// Values of at most 35 bits: more than any index, difference or length needs.
class Varints {
 public:
  explicit Varints(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  bool next(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 35 && at_ != end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool at_end() const { return at_ == end_; }

 private:
  const char* at_;
  const char* end_;
};

// One row onto the end of `targets`; false where it is not valid.
bool read_row(Varints& in, std::uint32_t node, std::uint32_t nodes, std::uint64_t edges,
              std::vector<std::uint32_t>& targets) {
  std::uint64_t length = 0;
  if (!in.next(length) || length > edges - targets.size()) return false;
  std::int64_t target = node;
  for (std::uint64_t i = 0; i < length; ++i) {
    std::uint64_t step = 0;
    if (!in.next(step)) return false;
    target = i == 0 ? std::int64_t{node} - unzigzag(step) : target + 1 + static_cast<std::int64_t>(step);
    if (target < 0 || target >= std::int64_t{nodes}) return false;
    targets.push_back(static_cast<std::uint32_t>(target));
  }
  return true;
}

}  // namespace

std::string write_rows(const Adjacency& rows) {
  std::string out;
  out.reserve(rows.vertices() + 2 * rows.targets.size());
  for (std::uint32_t node = 0; node < rows.vertices(); ++node) {
    const std::span<const std::uint32_t> row = rows.of(node);
    put_varint(out, row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      put_varint(out, i == 0 ? zigzag(std::int64_t{node} - std::int64_t{row[0]}) : row[i] - row[i - 1] - 1);
    }
  }
  return out;
}

std::optional<Adjacency> read_rows(std::string_view bytes, std::uint32_t nodes, std::uint64_t edges) {
  Adjacency rows;
  if (nodes > 0) {
    rows.offsets.reserve(nodes + 1);
    rows.offsets.push_back(0);
  }
  rows.targets.reserve(edges);
  Varints in(bytes);
  for (std::uint32_t node = 0; node < nodes; ++node) {
    if (!read_row(in, node, nodes, edges, rows.targets)) return std::nullopt;
    rows.offsets.push_back(static_cast<std::uint32_t>(rows.targets.size()));
  }
  if (!in.at_end() || rows.targets.size() != edges) return std::nullopt;
  return rows;
}

}  // namespace millrace
