// docs/expressions.md is true: every example in its tables gives what the table says.
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "tests/unit/expr/support.h"

namespace millrace::expr {
namespace {

struct Row {
  int line = 0;
  bool field = false;  // a whole field with its braces, not a bare expression
  std::string text;
  std::string expected;  // JSON, or "error: " and a part of the message
};

std::string page() {
  std::ifstream file(MILLRACE_SOURCE_DIR "/docs/expressions.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The cells of a table row; `\|` in a cell is a bar.
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out(1);
  for (std::size_t i = 1; i < line.size(); ++i) {
    if (line.compare(i, 2, "\\|") == 0) out.back() += line[++i];
    else if (line[i] == '|') out.emplace_back();
    else out.back() += line[i];
  }
  for (std::string& cell : out) {
    if (!cell.empty() && cell.front() == ' ') cell.erase(0, 1);
    if (!cell.empty() && cell.back() == ' ') cell.pop_back();
  }
  return out;
}

std::string without_ticks(const std::string& cell) {
  const bool ticked = cell.size() >= 2 && cell.front() == '`' && cell.back() == '`';
  return ticked && cell.find('`', 1) == cell.size() - 1 ? cell.substr(1, cell.size() - 2) : cell;
}

std::vector<Row> rows(const std::string& heading, bool field) {
  std::vector<Row> out;
  std::istringstream text(page());
  std::string line;
  bool inside = false;
  for (int number = 1; std::getline(text, line); ++number) {
    if (line == heading) inside = true;
    else if (line.empty() || line[0] != '|') inside = false;
    else if (inside && line.rfind("|---", 0) != 0) {
      const auto row = cells(line);
      out.push_back({number, field, without_ticks(row[0]), without_ticks(row[1])});
    }
  }
  return out;
}

Value scope_of_the_page() {
  const std::string text = page();
  const std::size_t begin = text.find("```json\n") + 8;
  return json(std::string_view(text).substr(begin, text.find("```", begin) - begin));
}

TEST(ExpressionDocs, EveryExampleGivesWhatItsTableSays) {
  const Value scope = scope_of_the_page();
  auto examples = rows("| expression | result |", false);
  for (Row& row : rows("| field | result |", true)) examples.push_back(std::move(row));
  ASSERT_GT(examples.size(), 150U);
  for (const Row& row : examples) {
    SCOPED_TRACE("docs/expressions.md:" + std::to_string(row.line) + ": " + row.text);
    const std::string got = row.field ? render(row.text, scope) : eval(row.text, scope);
    if (row.expected.rfind("error: ", 0) == 0) {
      EXPECT_EQ(got.substr(0, 7), "error: ");
      EXPECT_NE(got.find(row.expected.substr(7)), std::string::npos) << got;
    } else {
      EXPECT_EQ(got, json(row.expected).dump());
    }
  }
}

TEST(ExpressionDocs, TheTableOfFiltersIsTheListOfFilters) {
  std::vector<std::string> documented;
  for (const Row& row : rows("| filter | on | result |", false)) {
    documented.push_back(row.text.substr(0, row.text.find('(')));
  }
  EXPECT_EQ(documented, filter_names());
}

TEST(ExpressionDocs, EveryFilterHasAnExample) {
  std::string examples;
  for (const Row& row : rows("| expression | result |", false)) examples += row.text + "\n";
  for (const std::string& name : filter_names()) { EXPECT_NE(examples.find("| " + name), std::string::npos) << name; }
}

TEST(ExpressionDocs, TheLimitsAreTheDefaults) {
  const std::string text = page();
  const Limits limits;
  EXPECT_EQ(limits.text_max, 65'536U);
  EXPECT_NE(text.find("| `text_max` | 65,536 bytes"), std::string::npos);
  EXPECT_EQ(limits.depth_max, 64U);
  EXPECT_NE(text.find("| `depth_max` | 64 levels"), std::string::npos);
  EXPECT_EQ(limits.steps_max, 1'000'000U);
  EXPECT_NE(text.find("| `steps_max` | 1,000,000 steps"), std::string::npos);
  EXPECT_EQ(limits.result_max, 64U * 1024 * 1024);
  EXPECT_NE(text.find("| `result_max` | 64 MiB"), std::string::npos);
}

}  // namespace
}  // namespace millrace::expr
