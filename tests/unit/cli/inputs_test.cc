#include "cli/inputs.h"

#include <gtest/gtest.h>

#include <map>

namespace millrace {
namespace {

const std::vector<InputSpec> kDeclared = {
    {"text", InputType::kString, false, {}, ""},   {"count", InputType::kInteger, false, {}, ""},
    {"ratio", InputType::kNumber, false, {}, ""},  {"on", InputType::kBoolean, false, {}, ""},
    {"object", InputType::kObject, false, {}, ""}, {"list", InputType::kArray, false, {}, ""},
    {"whatever", InputType::kAny, false, {}, ""},  {"path", InputType::kFile, false, {}, ""},
};

InputFiles fake_files() {
  static const std::map<std::string, std::string> files = {{"note.txt", "12\n"},
                                                           {"latin1.txt", "Gr\xfc\xdf"},
                                                           {"list.json", "[1, 2]"},
                                                           {"-", "from stdin"},
                                                           {"all.json", R"({"text": "t", "count": 7})"},
                                                           {"all.yaml", "text: y\ncount: 8\n"},
                                                           {"array.json", "[1]"}};
  InputFiles fake;
  fake.read = [](const std::string& path) -> Result<std::string> {
    auto at = files.find(path);
    if (at == files.end()) return Error{Code::kInvalid, "cannot read '" + path + "'", {}, ""};
    return at->second;
  };
  fake.absolute_path = [](const std::string& path) -> Result<std::string> {
    if (!files.contains(path)) return Error{Code::kInvalid, "no such file", {}, ""};
    return "/abs/" + path;
  };
  return fake;
}

InputFlag assign(std::string text) { return {InputFlag::Kind::kAssign, std::move(text)}; }
InputFlag document(std::string path) { return {InputFlag::Kind::kDocument, std::move(path)}; }

Result<Value> gather(const std::vector<InputFlag>& flags) { return gather_inputs(kDeclared, flags, fake_files()); }

struct Case {
  const char* flag;
  const char* json;  // of the named input; null: a problem
};

TEST(Inputs, AFlagMeansWhatItsDeclaredTypeSays) {
  const Case cases[] = {
      {"text=12", R"("12")"},
      {"text=", R"("")"},
      {"text={\"a\":1}", R"("{\"a\":1}")"},
      {"text=a=b", R"("a=b")"},
      {"text=@note.txt", R"("12\n")"},
      {"text=@@home", R"("@home")"},
      {"text=@-", R"("from stdin")"},
      {"text=@missing", nullptr},
      {"text=@latin1.txt", nullptr},
      {"count=12", "12"},
      {"count=9223372036854775807", "9223372036854775807"},
      {"count=1.5", nullptr},
      {"count=twelve", nullptr},
      {"count=", nullptr},
      {"count=@note.txt", "12"},
      {"ratio=1", "1"},
      {"ratio=1.5", "1.5"},
      {"ratio=NaN", nullptr},
      {"on=true", "true"},
      {"on=yes", nullptr},
      {"on=1", nullptr},
      {"object={\"a\":1}", R"({"a":1})"},
      {"object=[1]", nullptr},
      {"list=@list.json", "[1,2]"},
      {"list=1", nullptr},
      {"whatever=12", "12"},
      {"whatever=\"12\"", R"("12")"},
      {"whatever=null", "null"},
      {"whatever=hello", R"("hello")"},
      {"whatever={oops", R"("{oops")"},
      {"whatever=@note.txt", R"("12\n")"},
      {"whatever=@@12", R"("@12")"},
      {"path=note.txt", R"("/abs/note.txt")"},
      {"path=@note.txt", R"("/abs/note.txt")"},
      {"path=nowhere", nullptr},
  };
  for (const Case& one : cases) {
    std::string flag = one.flag;
    Result<Value> inputs = gather({assign(flag)});
    if (one.json == nullptr) {
      ASSERT_FALSE(inputs.ok()) << flag;
      EXPECT_EQ(inputs.error().code, Code::kInvalid) << flag;
      EXPECT_EQ(inputs.error().details.size(), 1U) << flag;
    } else {
      ASSERT_TRUE(inputs.ok()) << flag << ": " << inputs.error().what;
      EXPECT_EQ(inputs->find(flag.substr(0, flag.find('=')))->dump(), one.json) << flag;
    }
  }
}

TEST(Inputs, LaterFlagsWinWhereverTheyComeFrom) {
  EXPECT_EQ(gather({assign("count=1"), document("all.json")})->find("count")->dump(), "7");
  EXPECT_EQ(gather({document("all.json"), assign("count=1")})->find("count")->dump(), "1");
  EXPECT_EQ(gather({document("all.json"), document("all.yaml")})->find("count")->dump(), "8");
}

TEST(Inputs, ValuesOfDocumentsKeepTheirTypes) {
  Result<Value> inputs = gather({document("all.json")});
  ASSERT_TRUE(inputs.ok());
  EXPECT_EQ(inputs->find("text")->dump(), R"("t")");
  EXPECT_EQ(inputs->find("list")->dump(), "null");
}

TEST(Inputs, EveryProblemIsToldAtOnce) {
  std::vector<InputSpec> declared = kDeclared;
  declared.push_back({"needed", InputType::kString, true, {}, ""});
  std::vector<InputFlag> flags = {assign("count=x"), assign("txet=1"), assign("nonsense"), document("array.json"),
                                  assign("on=1")};
  Result<Value> inputs = gather_inputs(declared, flags, fake_files());
  ASSERT_FALSE(inputs.ok());
  std::string all;
  for (const Problem& problem : inputs.error().details) all += problem.message + "|" + problem.hint + "\n";
  EXPECT_EQ(inputs.error().details.size(), 6U) << all;
  EXPECT_NE(all.find("input 'count' does not parse: x"), std::string::npos) << all;
  EXPECT_NE(all.find("unknown input 'txet'|did you mean 'text'?"), std::string::npos) << all;
  EXPECT_NE(all.find("-i nonsense"), std::string::npos) << all;
  EXPECT_NE(all.find("not an object but of kind array"), std::string::npos) << all;
  EXPECT_NE(all.find("input 'on' is of kind integer"), std::string::npos) << all;
  EXPECT_NE(all.find("'needed' is required"), std::string::npos) << all;
}

TEST(Inputs, StandardInputCanBeReadOnce) {
  Result<Value> inputs = gather({assign("text=@-"), assign("whatever=@-")});
  ASSERT_FALSE(inputs.ok());
  EXPECT_NE(inputs.error().what.find("read by another flag"), std::string::npos);
}

}  // namespace
}  // namespace millrace
