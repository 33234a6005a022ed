// Sources that nodes name are packed with the workflow.
#include <gtest/gtest.h>

#include "common/spec/parse.h"
#include "common/wire/codec.h"

namespace millrace {
namespace {

using Files = std::map<std::string, std::string>;

Result<WorkflowSpec> parsed(const std::string& nodes, const Files& files) {
  Outside outside;
  outside.read_source = [&](const std::string& path) -> Result<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return Error{Code::kNotFound, "there is no such file", {}, ""};
    return found->second;
  };
  outside.list_sources = [&](const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& [path, text] : files) {
      if (path.starts_with(folder + "/")) names.push_back(path.substr(folder.size() + 1));
    }
    return names;
  };
  return parse_workflow("nodes:\n" + nodes, "dir/flow.yaml", outside);
}

// The names of what node `a` has packed.
std::string packed(const std::string& node, const Files& files) {
  const Result<WorkflowSpec> spec = parsed("  a: {" + node + "}\n", files);
  if (!spec.ok()) return spec.error().details.at(0).message;
  std::string names;
  const Value* sources = spec->specs[0].fields.find("sources");
  if (sources == nullptr) return "";
  for (const auto& [name, text] : sources->as_object()) names += (names.empty() ? "" : " ") + name;
  return names;
}

TEST(Sources, AreTheFileAndTheModulesBesideItThatItImports) {
  const Files files = {
      {"tasks/job.py",
       "import helper, os\nfrom pack.deep import x as y\n  import lazily; import also # import not_this\n"},
      {"tasks/helper.py", "from math import pi\nimport second\nimport job\n"},
      {"tasks/second.py", ""},
      {"tasks/lazily.py", ""},
      {"tasks/also.py", ""},
      {"tasks/not_this.py", ""},
      {"tasks/pack/__init__.py", "from . import data"},
      {"tasks/pack/deep.py", "import third"},
      {"tasks/pack/data.json", "{}"},
      {"tasks/third.py", ""},
      {"tasks/unused.py", ""},
      {"second.py", "another one"}};
  EXPECT_EQ(packed("executor: python, file: tasks/job.py", files),
            "also.py helper.py job.py lazily.py pack/__init__.py pack/data.json pack/deep.py second.py third.py");
}

TEST(Sources, OfAFunctionAreItsModuleOrPackageUnlessItIsAnInstalledOne) {
  const Files files = {{"tool.py", "import part"}, {"part.py", ""}, {"pkg/a/b.py", "import part"}, {"pkg/c.json", "1"}};
  EXPECT_EQ(packed("executor: python, function: 'tool:run'", files), "part.py tool.py");
  EXPECT_EQ(packed("executor: python, function: 'pkg.a.b:run'", files), "part.py pkg/a/b.py pkg/c.json");
  EXPECT_EQ(packed("executor: python, function: 'pkg.none:run'", files),
            "'function' of node 'a' names module pkg.none, which is not there");
  EXPECT_EQ(packed("executor: python, function: 'os.path:join'", files), "");
  EXPECT_EQ(packed("executor: python, function: 'millrace:log'", {{"millrace.py", ""}}), "");
}

TEST(Sources, OfJavascriptAreTheFileAndWhatItRequiresBesideIt) {
  const Files files = {{"tasks/job.js",
                        "const fs = require('fs'); const a = require('./lib/a'), b = require( \"./data.json\" )\n"
                        "require('../outside'); require('./gone'); require(`./words`)"},
                       {"tasks/lib/a.js", "module.exports = require('../deep')"},
                       {"tasks/deep/index.js", "require('../lib/a'); require('./near.js')"},
                       {"tasks/deep/near.js", ""},
                       {"tasks/data.json", "{}"},
                       {"tasks/words.js", ""},
                       {"tasks/unused.js", ""},
                       {"outside.js", ""},
                       {"tool.js", "require('./part')"},
                       {"part.js", ""}};
  EXPECT_EQ(packed("executor: javascript, file: tasks/job.js", files),
            "data.json deep/index.js deep/near.js job.js lib/a.js words.js");
  EXPECT_EQ(packed("executor: javascript, function: 'tool:run'", files), "part.js tool.js");
  EXPECT_EQ(packed("executor: javascript, function: 'path:join'", files), "");
  EXPECT_EQ(packed("executor: javascript, file: none.js", files),
            "'file' of node 'a' cannot have none.js: there is no such file");
  EXPECT_EQ(packed("executor: javascript, function: tool", files), "'function' of node 'a' is \"tool\"");
}

TEST(Sources, OfATemplateAreWhatItIncludes) {
  const Files files = {{"mail/main.j2", "{% extends 'base.j2' %}{%- include \"parts/head.j2\" %}{{ 'not.j2' }}"},
                       {"mail/base.j2", "{% include 'gone.j2' ignore missing %}{% from 'm.j2' import x %}"},
                       {"mail/parts/head.j2", "{% include ['one.j2', 'two.j2'] %}"},
                       {"mail/two.j2", ""},
                       {"mail/m.j2", ""},
                       {"mail/not.j2", ""}};
  EXPECT_EQ(packed("executor: template, file: mail/main.j2", files), "base.j2 m.j2 main.j2 parts/head.j2 two.j2");
  EXPECT_EQ(packed("executor: template, file: x.j2", {{"x.j2", "{% include 'y.j2' %}"}}),
            "'file' of node 'a' cannot have y.j2: there is no such file");
}

TEST(Sources, ThatAreMissingOrTooLargeAreToldWithTheirPlace) {
  const Result<WorkflowSpec> missing = parsed("  a:\n    executor: python\n    file: none.py\n", {});
  ASSERT_FALSE(missing.ok());
  const Problem& problem = missing.error().details.at(0);
  EXPECT_EQ(problem.file, "dir/flow.yaml");
  EXPECT_EQ(problem.line, 4U);
  EXPECT_EQ(problem.message, "'file' of node 'a' cannot have none.py: there is no such file");
  EXPECT_EQ(packed("executor: python, file: 'x-{{ run.id }}.py'", {}), "'file' of node 'a' holds an expression");
  EXPECT_EQ(packed("executor: python, file: big.py", {{"big.py", std::string(kSourceFileMax + 1, ' ')}}),
            "'file' of node 'a' cannot have big.py: it has more");
  EXPECT_EQ(packed("executor: python, file: odd.py", {{"odd.py", "x = '\xff'"}}),
            "'file' of node 'a' cannot have odd.py: it is not text in UTF-8");
  Files many = {{"all.py", "import pkg"}};
  for (int i = 0; i < 5; ++i) many["pkg/" + std::to_string(i) + ".py"] = std::string(kSourceFileMax, ' ');
  EXPECT_EQ(packed("executor: python, file: all.py", many).substr(0, 35), "'file' of node 'a' packs too much: ");
}

TEST(Sources, ArePartOfWhatADefinitionIs) {
  const auto definition = [](const std::string& text) {
    return hash128(encode_definition(*parsed("  a: {executor: python, file: x.py}\n", {{"x.py", text}})));
  };
  EXPECT_EQ(definition("output = 1"), definition("output = 1"));
  EXPECT_NE(definition("output = 1"), definition("output = 2"));
}

}  // namespace
}  // namespace millrace
