#include <filesystem>
#include <fstream>

#include "tests/unit/executors/harness.h"

namespace millrace::test {
namespace {

class Template : public ::testing::Test {
 protected:
  Harness h;
  void SetUp() override {
    if (!has_jinja()) GTEST_SKIP() << "no jinja2";
  }
  Outcome run(Value::Object fields) {
    TaskContext task = h.context("template", Value(std::move(fields)));
    task.inputs_json = std::make_shared<const std::string>(R"({"who":"Ada","n":3})");
    task.nodes = {{"fetch-data", std::make_shared<const std::string>(R"([{"k":"a"},{"k":"b"}])")}};
    return h.run(std::move(task));
  }
  std::string text(Value::Object fields) {
    const Outcome outcome = run(std::move(fields));
    EXPECT_TRUE(outcome.success) << outcome.error.message << outcome.error.traceback;
    return std::string(outcome.output.json());
  }
};

TEST_F(Template, SeesInputsNodesAndVars) {
  EXPECT_EQ(text({{"template",
                   "{% for x in nodes['fetch-data'] %}{{ x.k|upper }}{% if not loop.last %},{% endif %}{% endfor %} "
                   "{{ who }} {{ inputs.n }} {{ mine }} {{ run.attempt }}"},
                  {"vars", object({{"mine", "m"}})}}),
            R"("A,B Ada 3 m 1")");
  EXPECT_EQ(text({{"template", "{{ nodes|list }}"}}), R"("['fetch-data']")");
}

TEST_F(Template, MayBeReadAsJson) {
  EXPECT_EQ(text({{"template", "{\"n\": {{ n }}, \"who\": {{ who|tojson }}}"}, {"outputs", "json"}}),
            R"({"n":3,"who":"Ada"})");
  EXPECT_TRUE(
      run({{"template", "{oops"}, {"outputs", "json"}}).error.message.starts_with("NotJson: the text is not JSON: "));
}

TEST_F(Template, MayBeAFileThatWasPackedWithWhatItIncludes) {
  const Value sources = object({{"main.j2", "[{% include 'parts/part.j2' %}]\n{{ nobody }}\n"},
                                {"parts/part.j2", "part for {{ who }}"},
                                {"outer.j2", "x\n{% include 'inner.j2' %}"},
                                {"inner.j2", "a\nb\n{{ 1 / 0 }}"},
                                {"open.j2", "a\n{% if %}"}});
  EXPECT_EQ(text({{"file", "mail/main.j2"}, {"sources", sources}, {"strict", false}}), R"("[part for Ada]\n\n")");
  EXPECT_EQ(run({{"file", "mail/main.j2"}, {"sources", sources}}).error.message,
            "UndefinedError: 'nobody' is undefined (line 2: {{ nobody }})");
  EXPECT_EQ(run({{"file", "outer.j2"}, {"sources", sources}}).error.message,
            "ZeroDivisionError: division by zero (line 3: {{ 1 / 0 }})");
  EXPECT_NE(run({{"file", "open.j2"}, {"sources", sources}}).error.message.find("(line 2: {% if %})"),
            std::string::npos);
  EXPECT_EQ(run({{"file", "mail/none.j2"}, {"sources", sources}}).error.message,
            "the source of `file` mail/none.j2 did not come with the workflow: submit it again");
}

TEST_F(Template, AnErrorNamesItsLine) {
  EXPECT_EQ(run({{"template", "ok\n{% if %}"}}).error.message.substr(0, 21), "TemplateSyntaxError: ");
  EXPECT_NE(run({{"template", "ok\n{% if %}"}}).error.message.find("(line 2: {% if %})"), std::string::npos);
  EXPECT_EQ(run({{"template", "a\nb\n{{ 1 / 0 }}"}}).error.message,
            "ZeroDivisionError: division by zero (line 3: {{ 1 / 0 }})");
}

TEST_F(Template, ATracebackShowsTheLinesOfTheTemplateAndNoneOfOurs) {
  const Value sources = object({{"outer.j2", "x\n{% include 'inner.j2' %}"}, {"inner.j2", "a\nb\n{{ 1 / 0 }}"}});
  EXPECT_EQ(run({{"file", "mail/outer.j2"}, {"sources", sources}}).error.traceback,
            "Traceback (most recent call last):\n"
            "  File \"mail/outer.j2\", line 2, in top-level template code\n"
            "  File \"mail/inner.j2\", line 3, in top-level template code\n"
            "ZeroDivisionError: division by zero (line 3: {{ 1 / 0 }})\n");
  for (const char* source : {"ok\n{% if %}", "{{ nobody }}", "{oops"}) {
    const Outcome failed = run({{"template", source}, {"outputs", "json"}});
    EXPECT_TRUE(failed.error.traceback.ends_with(failed.error.message + "\n")) << failed.error.traceback;
    EXPECT_EQ(failed.error.traceback.find("in rendered"), std::string::npos) << failed.error.traceback;
    EXPECT_EQ(failed.error.traceback.find("in <module>"), std::string::npos) << failed.error.traceback;
  }
}

TEST_F(Template, RunsInTheSandbox) {
  EXPECT_EQ(run({{"template", "{{ ''.__class__.__mro__ }}"}}).success, false);
  EXPECT_EQ(run({{"template", "{{ ''.__class__.__mro__ }}"}}).error.message.substr(0, 14), "SecurityError:");
}

TEST_F(Template, FieldsAreChecked) {
  EXPECT_EQ(run({{"template", "x"}, {"file", "y"}}).error.message, "either `template` or `file` is needed");
  EXPECT_EQ(run({{"template", "x"}, {"vars", list({1})}}).error.message, "`vars` must be a mapping, not array");
}

}  // namespace
}  // namespace millrace::test
