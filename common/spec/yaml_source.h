// YamlDocument: the tree of one YAML text, with the place of everything in it. A node is named by its index.
//
// Promises: bounded before anything is built: bytes, characters, depth, nodes, aliases, and the size that the tree
// would have with its aliases followed (an alias shares the node it names, it is never copied here). Scalars keep the
// text they were written with; what type they have is decided by scalar_value(). Mappings keep their order; a key that
// comes twice, a key that is not text, or an unknown tag is a problem of the document and is left out of the tree.
// Threads: immutable once read. Fails: text that is not YAML, or over a limit, is one Problem with its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"
#include "common/spec/report.h"

namespace millrace {

struct YamlLimits {
  std::size_t bytes_max = 8 * 1024 * 1024;            // of the text
  std::uint32_t depth_max = 64;                       // of mappings and lists in each other
  std::uint32_t nodes_max = 1'000'000;                // keys, values, mappings and lists, aliases followed
  std::uint32_t aliases_max = 1'000;                  // uses of anchors
  std::size_t expanded_bytes_max = 32 * 1024 * 1024;  // of all scalars, aliases followed
  std::uint32_t pending_max = 1'000'000;              // brackets and commas that the scanner must hold back at once
};

enum class YamlKind : std::uint8_t {
  kNull,   // nothing, `~` or `null`
  kPlain,  // a scalar without quotes: its text says the type
  kText,   // quoted, a block (`|`, `>`), or tagged `!!str`
  kSequence,
  kMapping,
};

struct YamlNode {
  YamlKind kind = YamlKind::kNull;
  std::uint16_t height = 0;             // 0: a scalar or empty
  std::uint32_t offset = 0;             // byte of the source where it starts; of a null: where its key does
  std::uint32_t expanded_nodes = 1;     // this and all below, aliases followed
  std::size_t expanded_bytes = 0;       // text of this and all below, aliases followed
  std::string text;                     // of a scalar
  std::vector<std::uint32_t> children;  // items; or keys and values in turn
};

struct Place {
  int line = 0;    // 1-based
  int column = 0;  // 1-based, in characters
};

class YamlDocument {
 public:
  static Result<YamlDocument> read(std::string_view text, std::string_view file, const YamlLimits& limits = {});

  const std::string& file() const { return file_; }
  std::uint32_t root() const { return root_; }  // kNull for an empty text
  const YamlNode& node(std::uint32_t index) const { return nodes_[index]; }
  const Report& report() const { return report_; }  // what is wrong with the document as such

  Place place(std::uint32_t offset) const;
  // Where byte `text_offset` of a scalar's text stands in the source, to report expressions. Exact when an opening `{{`
  // comes before it, which is how all expressions begin; the scalar's start otherwise.
  std::uint32_t offset_in(std::uint32_t scalar, std::size_t text_offset) const;

  Problem problem_at(std::uint32_t offset, std::string message, std::string expected = "", std::string hint = "") const;

 private:
  friend class YamlBuilder;

  std::string file_;
  std::string source_;
  std::vector<std::uint32_t> line_starts_;
  std::vector<YamlNode> nodes_;
  std::uint32_t root_ = 0;
  Report report_;
};

}  // namespace millrace
