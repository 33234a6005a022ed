#include "cli/render.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "cli/text.h"

namespace millrace {
namespace {

constexpr std::array<std::pair<std::string_view, Format>, 6> kFormats = {{{"table", Format::kTable},
                                                                          {"wide", Format::kWide},
                                                                          {"json", Format::kJson},
                                                                          {"jsonl", Format::kJsonl},
                                                                          {"yaml", Format::kYaml},
                                                                          {"name", Format::kName}}};
constexpr std::size_t kGap = 2;
constexpr std::size_t kColumnMin = 8;  // cutting stops here

// Takes from the widest columns until the line fits.
void shrink(std::vector<std::size_t>& widths, std::size_t columns_max) {
  std::size_t total = kGap * (widths.size() - 1);
  for (std::size_t width : widths) total += width;
  while (total > columns_max) {
    auto widest = std::ranges::max_element(widths);
    if (*widest <= kColumnMin) return;
    --*widest;
    --total;
  }
}

bool plain_in_yaml(std::string_view text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`.+0123456789~<=").find(text.front()) != std::string_view::npos)
    return false;
  static constexpr std::array<std::string_view, 9> kWords = {"null", "true", "false", "yes", "no",
                                                             "on",   "off",  "y",     "n"};
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (std::ranges::find(kWords, lower) != kWords.end()) return false;
  if (text.find(": ") != std::string_view::npos || text.find(" #") != std::string_view::npos) return false;
  return printable(text) == text;
}

std::string yaml_string(std::string_view text) {
  if (plain_in_yaml(text)) return std::string(text);
  std::string out;
  append_json_string(out, text);
  return out;
}

// Text of several lines as a literal block, which only takes what needs no escapes.
bool literal_in_yaml(std::string_view text) {
  return text.find('\n') != std::string_view::npos && text.front() != ' ' && text.front() != '\n' &&
         text.front() != '\t' && printable_lines(text) == text;
}

void write_literal(std::string& out, std::string_view text, std::size_t indent) {
  bool ends = text.back() == '\n';
  bool ends_twice = ends && text.size() > 1 && text[text.size() - 2] == '\n';
  out += ends_twice ? "|+\n" : ends ? "|\n" : "|-\n";
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) out += std::string(std::max<std::size_t>(indent, 2), ' ') + std::string(text.substr(0, end));
    out += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

bool is_block(const Value& value) {
  return (value.is_array() && !value.as_array().empty()) || (value.is_object() && !value.as_object().empty());
}

void write_yaml(std::string& out, const Value& value, std::size_t indent) {
  std::string margin(indent, ' ');
  const char* lead = "";  // the first line stands behind its parent's dash
  if (value.is_string() && literal_in_yaml(value.as_string())) {
    write_literal(out, value.as_string(), indent);
  } else if (!is_block(value)) {
    out += value.is_string() ? yaml_string(value.as_string()) : value.dump();
    out += '\n';
  } else if (value.is_array()) {
    for (const Value& item : value.as_array()) {
      out += lead + std::string("- ");
      write_yaml(out, item, indent + 2);
      lead = margin.c_str();
    }
  } else {
    for (const auto& [key, member] : value.as_object()) {
      out += lead + yaml_string(key) + ":";
      lead = margin.c_str();
      if (is_block(member)) out += "\n" + margin + "  ";
      else out += " ";
      write_yaml(out, member, indent + 2);
    }
  }
}

std::string name_of(const Value& row, std::string_view key) { return cell_text(row, key) + "\n"; }

}  // namespace

Option output_option() {
  Option option{"output", 'o', Takes::kText, "FORMAT", "table (default), wide, json, jsonl, yaml or name"};
  for (const auto& [word, format] : kFormats) option.choices.push_back(word);
  return option;
}

Format output_format(const Arguments& arguments) {
  std::string word = arguments.text("output", "table");
  for (const auto& [known, format] : kFormats) {
    if (word == known) return format;
  }
  return Format::kTable;
}

Tint tint_of(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, Tint>, 17> kTints = {{{"succeeded", Tint::kGood},
                                                                                {"degraded", Tint::kGood},
                                                                                {"failed", Tint::kBad},
                                                                                {"failing", Tint::kBad},
                                                                                {"running", Tint::kBusy},
                                                                                {"dispatched", Tint::kBusy},
                                                                                {"retrying", Tint::kBusy},
                                                                                {"accepted", Tint::kBusy},
                                                                                {"cancelling", Tint::kBusy},
                                                                                {"pending", Tint::kQuiet},
                                                                                {"ready", Tint::kQuiet},
                                                                                {"waiting", Tint::kQuiet},
                                                                                {"skipped", Tint::kQuiet},
                                                                                {"cancelled", Tint::kQuiet},
                                                                                {"paused", Tint::kQuiet},
                                                                                {"draining", Tint::kBusy},
                                                                                {"silent", Tint::kBad}}};
  for (const auto& [known, tint] : kTints) {
    if (known == word) return tint;
  }
  return Tint::kNone;
}

std::string cell_text(const Value& row, std::string_view key) {
  const Value* value = row.find(key);
  if (value == nullptr || value->is_null()) return "";
  return printable(value->is_string() ? value->as_string() : value->dump());
}

std::string cell_duration_ms(const Value& row, std::string_view key) {
  const Value* value = row.find(key);
  if (value == nullptr || !value->is_number()) return "";
  return human_duration(Duration(static_cast<Duration::rep>(std::llround(value->to_double() * 1000.0))));
}

std::string cell_pairs(const Value& row, std::string_view key) {
  const Value* value = row.find(key);
  std::string text;
  auto item = [&](const std::string& one) { text += (text.empty() ? "" : ",") + printable(one); };
  if (value != nullptr && value->is_array()) {
    for (const Value& one : value->as_array()) item(one.is_string() ? one.as_string() : one.dump());
  } else if (value != nullptr && value->is_object()) {
    for (const auto& [name, one] : value->as_object())
      item(name + "=" + (one.is_string() ? one.as_string() : one.dump()));
  }
  return text;
}

std::string render_table(std::span<const Column> all, std::span<const Value> rows, bool wide, std::size_t columns_max,
                         bool colour) {
  std::vector<Column> columns;
  std::ranges::copy_if(all, std::back_inserter(columns), [wide](const Column& c) { return wide || !c.wide; });
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> widths;
  for (const Column& column : columns) widths.push_back(column.title.size());
  for (const Value& row : rows) {
    std::vector<std::string>& line = cells.emplace_back();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      line.push_back(columns[i].cell(row));
      if (line[i].empty()) line[i] = "-";
      widths[i] = std::max(widths[i], display_width(line[i]));
    }
  }
  if (columns_max > 0) shrink(widths, columns_max);
  std::string out;
  auto put = [&](std::size_t i, const std::string& text, Tint tint) {
    bool last = i + 1 == columns.size();
    std::string cell = fitted(text, widths[i]);
    if (!last || columns[i].right) cell = padded(std::move(cell), widths[i], columns[i].right);
    out += tinted(cell, tint, colour) + (last ? "\n" : std::string(kGap, ' '));
  };
  for (std::size_t i = 0; i < columns.size(); ++i) put(i, std::string(columns[i].title), Tint::kStrong);
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < columns.size(); ++i)
      put(i, line[i], columns[i].status ? tint_of(line[i]) : Tint::kNone);
  }
  return out;
}

std::string to_yaml(const Value& value) {
  std::string out;
  write_yaml(out, value, 0);
  return out;
}

std::string render_object(const Value& whole, std::string_view name_key, Format format) {
  switch (format) {
    case Format::kYaml: return to_yaml(whole);
    case Format::kJsonl: return whole.dump() + "\n";
    case Format::kName: return name_of(whole, name_key);
    case Format::kJson:
    case Format::kTable:
    case Format::kWide: return whole.dump_pretty() + "\n";
  }
  return "";
}

std::string render(const Document& document, Format format, const Console& console) {
  std::string out;
  switch (format) {
    case Format::kTable:
    case Format::kWide:
      return render_table(document.columns, document.rows, format == Format::kWide,
                          console.out_terminal ? static_cast<std::size_t>(console.size().columns) : 0,
                          console.out_terminal && console.colour);
    case Format::kJsonl:
      for (const Value& row : document.rows) out += row.dump() + "\n";
      return out;
    case Format::kName:
      for (const Value& row : document.rows) out += name_of(row, document.name_key);
      return out;
    case Format::kJson:
    case Format::kYaml: return render_object(document.whole, document.name_key, format);
  }
  return out;
}

}  // namespace millrace
