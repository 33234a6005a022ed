// Render: what a verb prints, as a table for people and as JSON or YAML for programs, from the same rows.
//
// Promises: a table cell holds no control characters of user data; columns are aligned by display width, and cut to the
// terminal's width on one. JSON output is one value and one newline. Threads: pure, any.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"
#include "cli/console.h"
#include "common/base/value.h"

namespace millrace {

enum class Format { kTable, kWide, kJson, kJsonl, kYaml, kName };

Option output_option();
Format output_format(const Arguments& arguments);  // of --output; table by default
constexpr bool is_for_people(Format format) { return format == Format::kTable || format == Format::kWide; }

struct Column {
  std::string_view title;
  std::string (*cell)(const Value& row);  // made of printable text; empty prints as "-"
  bool wide = false;                      // only with -o wide
  bool right = false;                     // numbers
  bool status = false;                    // coloured by its word
};

struct Document {
  Value whole;              // of json and yaml
  std::vector<Value> rows;  // of table, wide, jsonl and name
  std::vector<Column> columns;
  std::string_view name_key;  // the member of a row that `-o name` prints
};

std::string render(const Document& document, Format format, const Console& console);
// One object that has a form of its own for people.
std::string render_object(const Value& whole, std::string_view name_key, Format format);

// `columns_max` 0: as wide as it needs.
std::string render_table(std::span<const Column> columns, std::span<const Value> rows, bool wide,
                         std::size_t columns_max, bool colour);
std::string to_yaml(const Value& value);  // block style, ends with a newline

Tint tint_of(std::string_view status_word);

// For cells: a member as printable text; null and absent are empty.
std::string cell_text(const Value& row, std::string_view key);
std::string cell_duration_ms(const Value& row, std::string_view key);
std::string cell_pairs(const Value& row, std::string_view key);  // {"a":"b"} as "a=b", a list as "x,y"

}  // namespace millrace
