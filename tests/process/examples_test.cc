// Every workflow under examples/ runs, embedded and on a cluster, and gives the right result.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "tests/support/cluster.h"
#include "tests/support/stand_in.h"

namespace millrace::test {
namespace {

struct Example {
  std::string name;
  std::vector<std::string> arguments;
  int exit_code;
  void (*check)(const Value& run);
  std::string status = exit_code == 0 ? "succeeded" : "failed";
  std::string child = {};  // an example that its nodes run
};

const StandIn& stand_in() {
  static const StandIn server;
  return server;
}

// Paragraphs are parted by empty lines; counted here in another way than the example does.
std::int64_t paragraphs_of(const std::string& text) {
  std::int64_t paragraphs = 0;
  bool inside = false;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = std::min(text.find('\n', begin), text.size());
    bool blank = text.find_first_not_of(" \t\r", begin) >= end;
    if (!blank && !inside) ++paragraphs;
    inside = !blank;
    begin = end + 1;
  }
  return paragraphs;
}

void check_insight(const Value& run) {
  std::string text = read_file(source("examples/data/walden.txt"));
  EXPECT_EQ(number_at(run, {"outputs", "statistics", "paragraphs"}), paragraphs_of(text));
  EXPECT_GT(number_at(run, {"outputs", "statistics", "words"}), 500);
  EXPECT_TRUE(at(run, {"outputs", "summary", "words"}) == at(run, {"outputs", "statistics", "words"}));
  EXPECT_EQ(text_at(run, {"outputs", "summary", "text"}).substr(0, 20), text.substr(0, 20));
  EXPECT_FALSE(text_at(run, {"outputs", "headline"}).empty());
}

void check_fanout(const Value& run) {
  EXPECT_EQ(number_at(run, {"outputs", "measured"}), 57);  // three of sixty are broken
  ASSERT_TRUE(at(run, {"outputs", "lines"}).is_array());
  EXPECT_EQ(at(run, {"outputs", "lines"}).as_array().at(2), Value("south: 15 values, at most 96"));
  EXPECT_EQ(number_at(run, {"nodes", "measure", "items", "total"}), 60);
  EXPECT_EQ(number_at(run, {"nodes", "measure", "items", "failed"}), 3);
}

void check_large_list(const Value& run) {
  EXPECT_EQ(number_at(run, {"outputs", "rows"}), 600);
  EXPECT_EQ(number_at(run, {"outputs", "seventh"}), 7);
  EXPECT_EQ(number_at(run, {"outputs", "report", "characters"}), 600 * 4000);
  EXPECT_EQ(number_at(run, {"outputs", "report", "last"}), 599);
  EXPECT_EQ(at(run, {"outputs", "all_good"}), Value(true));
}

void check_hello(const Value& run) {
  EXPECT_EQ(text_at(run, {"outputs", "greeting"}), "Hello, Ada!");
  EXPECT_EQ(text_at(run, {"outputs", "loud"}), "HELLO, ADA!");
}

void check_dag200(const Value& run) {
  EXPECT_EQ(number_at(run, {"outputs", "total"}), 4618);
  ASSERT_TRUE(at(run, {"nodes"}).is_object());
  EXPECT_EQ(at(run, {"nodes"}).as_object().size(), 200U);
}

void check_build(const Value& run) {
  EXPECT_GT(number_at(run, {"outputs", "package_bytes"}), 1000);
  for (const char* test : {"sum", "words", "usage"}) EXPECT_EQ(text_at(run, {"outputs", "tests", test}), "passed");
}

void check_resume(const Value& run) {
  EXPECT_EQ(text_at(run, {"error", "node"}), "share");
  EXPECT_EQ(text_at(run, {"nodes", "close", "status"}), "succeeded");
}

void check_resume_fixed(const Value& run) { EXPECT_EQ(text_at(run, {"outputs", "report"}), "north sold 30 each"); }

void check_retries(const Value& run) {
  EXPECT_EQ(text_at(run, {"error", "node"}), "doomed");
  EXPECT_EQ(number_at(run, {"nodes", "recovers", "attempts"}), 3);
  EXPECT_EQ(text_at(run, {"nodes", "recovers", "status"}), "succeeded");
  EXPECT_EQ(number_at(run, {"nodes", "doomed", "attempts"}), 3);
  EXPECT_EQ(text_at(run, {"nodes", "report", "status"}), "skipped");
  EXPECT_EQ(text_at(run, {"nodes", "independent", "status"}), "succeeded");
}

void check_router(const Value& run) {
  EXPECT_EQ(at(run, {"outputs", "chosen"}).dump(), R"(["notifyPriority","complianceCheck"])");
  EXPECT_EQ(at(run, {"outputs", "reply"}).dump(),
            R"({"priority":true,"audit":"audited: GDPR","attachment":null,"rating":"unknown"})");
  for (const char* node : {"processAttachment", "standard"}) {
    EXPECT_EQ(text_at(run, {"nodes", node, "status"}), "skipped");
    EXPECT_EQ(text_at(run, {"nodes", node, "error", "code"}), "not_chosen");
  }
}

void check_article(const Value& run) {
  const std::string text = read_file(source("examples/data/walden.txt"));
  EXPECT_TRUE(text_at(run, {"outputs", "article", "summary"}).starts_with("In short: Summarize: "));
  EXPECT_EQ(text_at(run, {"outputs", "article", "model"}), "stand-in");
  EXPECT_EQ(number_at(run, {"outputs", "article", "paragraphs"}), paragraphs_of(text));
  EXPECT_GT(number_at(run, {"outputs", "article", "tokens"}), 500);
}

void check_http(const Value& run) {
  EXPECT_EQ(text_at(run, {"outputs", "page"}), "1");
  EXPECT_TRUE(at(run, {"outputs", "missing"}) == Value(true));
}

void check_report(const Value& run) {
  EXPECT_EQ(text_at(run, {"outputs", "page"}), "# 3 orders\n- 5 apples: 2.40\n- 1 pear: 0.80\n\n");
  EXPECT_EQ(number_at(run, {"outputs", "kinds"}), 2);
}

void check_artifacts(const Value& run) {
  EXPECT_EQ(number_at(run, {"outputs", "rows"}), 12);
  EXPECT_EQ(number_at(run, {"outputs", "highest"}), 94);
}

void check_approval(const Value& run) {
  EXPECT_EQ(text_at(run, {"outputs", "image"}), "shop:latest");
  EXPECT_EQ(at(run, {"outputs", "approved"}), Value(true));
  EXPECT_EQ(text_at(run, {"outputs", "released"}), "released shop:latest, approved by the deadline");
}

void check_saga(const Value& run) {
  EXPECT_EQ(text_at(run, {"error", "node"}), "hotel");
  EXPECT_EQ(number_at(run, {"nodes", "hotel", "attempts"}), 2);
  EXPECT_EQ(text_at(run, {"nodes", "car", "status"}), "skipped");
  EXPECT_EQ(text_at(run, {"nodes", "give_back_flight", "outputs", "stdout"}), "gave back flight-17");
  EXPECT_EQ(text_at(run, {"nodes", "give_back_room", "status"}), "skipped");
  EXPECT_NE(text_at(run, {"nodes", "waiting_list", "outputs"}).find("no room"), std::string::npos);
  EXPECT_EQ(text_at(run, {"nodes", "apologize", "outputs"}), "we are sorry: hotel error");
  EXPECT_EQ(text_at(run, {"nodes", "close", "outputs", "failed"}), "hotel");
}

void check_nightly(const Value& run) {
  EXPECT_EQ(at(run, {"outputs", "report"}).dump(), R"({"day":"2026-01-31","orders":5,"keep":30})");
}

void check_orders(const Value& run) {
  EXPECT_EQ(number_at(run, {"outputs", "orders"}), 2);
  EXPECT_EQ(number_at(run, {"outputs", "total"}), 11);
}

void check_receipts(const Value& run) {
  EXPECT_EQ(at(run, {"outputs", "receipts"}).dump(), R"(["Thank you for order 0000000000001"])");
}

void check_fallback(const Value& run) {
  EXPECT_EQ(number_at(run, {"outputs", "invoice", "total"}), 132);
  EXPECT_EQ(text_at(run, {"outputs", "invoice", "quoted_by"}), "estimate");
  EXPECT_NE(text_at(run, {"outputs", "note"}).find("does not answer"), std::string::npos);
  EXPECT_EQ(number_at(run, {"nodes", "exact", "attempts"}), 2);
}

void check_cached(const Value& run) {
  EXPECT_EQ(run.find("outputs")->find("vector")->dump(), "[3,5,5,3]");
  EXPECT_EQ(run.find("outputs")->find("same")->dump(), "true");
  const auto cached = [&](const char* node) { return run.find("nodes")->find(node)->find("cached") != nullptr; };
  EXPECT_TRUE(cached("catalogue") || cached("search")) << "one of them at most computes it";
}

void check_deadline(const Value& run) {
  EXPECT_EQ(text_at(run, {"nodes", "ask", "error", "code"}), "node_timeout");
  EXPECT_GE(number_at(run, {"nodes", "ask", "attempts"}), 2);
  EXPECT_NE(text_at(run, {"nodes", "report", "outputs"}).find("node_timeout"), std::string::npos);
}

void check_refine(const Value& run) {
  EXPECT_EQ(number_at(run, {"outputs", "rounds"}), 3);
  EXPECT_EQ(text_at(run, {"outputs", "page"}), "RIVERS: About rivers. (more detail) (more detail)");
  EXPECT_EQ(text_at(run, {"nodes", "draft/3/review", "status"}), "succeeded");
  EXPECT_EQ(text_at(run, {"nodes", "draft/4/write", "status"}), "skipped");
}

void check_variables(const Value& run) {
  EXPECT_EQ(text_at(run, {"outputs", "bill"}), "212 EUR");
  EXPECT_EQ(number_at(run, {"outputs", "discount"}), 23);
  EXPECT_EQ(number_at(run, {"vars", "sum", "version"}), 2);
  EXPECT_EQ(text_at(run, {"vars", "discount", "node"}), "large");
}

void check_region(const Value& run) { EXPECT_EQ(number_at(run, {"outputs", "rows"}), 60); }

void check_regions(const Value& run) {
  EXPECT_EQ(at(run, {"outputs", "report", "regions"}).dump(), R"(["eu","us","asia"])");
  EXPECT_EQ(number_at(run, {"outputs", "report", "rows"}), 180);
}

void check_packed(const Value& run) {
  EXPECT_EQ(number_at(run, {"outputs", "words"}), 5);
  EXPECT_EQ(text_at(run, {"outputs", "longest"}), "quick");
}

void check_carts(const Value& run) {
  EXPECT_EQ(text_at(run, {"outputs", "reminder"}), "cart:17 was left alone, and 2 more");
}

// What an example needs beyond the programs of this build; empty: it is there.
std::string missing(const std::string& example) {
  if (example != "report") return {};
  if (run_program({"sh", "-c", "command -v node"}).exit_code != 0) return "no node";
  return run_program({"python3", "-c", "import jinja2"}).exit_code != 0 ? "no jinja2" : "";
}

std::vector<Example> examples() {
  return {{"insight", {"-i", "text=@" + source("examples/data/walden.txt")}, 0, check_insight},
          {"hello", {"-i", "name=Ada"}, 0, check_hello},
          {"dag200", {}, 0, check_dag200},
          {"build", {}, 0, check_build},
          {"retries", {}, 1, check_retries},
          {"fanout", {}, 0, check_fanout},
          {"large_list", {}, 0, check_large_list},
          {"router", {"-i", "userType=premium", "-i", "region=EU"}, 0, check_router, "degraded"},
          {"report", {}, 0, check_report},
          {"artifacts", {}, 0, check_artifacts},
          {"approval", {}, 0, check_approval},
          {"saga", {}, 1, check_saga},
          {"nightly", {"-i", "day=2026-01-31"}, 0, check_nightly},
          {"orders",
           {"-i", R"(orders=[{"item": "tea", "price": 3, "count": 2}, {"item": "pot", "price": 5, "count": 1}])"},
           0,
           check_orders},
          {"receipts", {"-i", R"(runs=["0000000000001"])"}, 0, check_receipts},
          {"resume", {}, 1, check_resume},
          {"resume_fixed", {}, 0, check_resume_fixed},
          {"refine", {}, 0, check_refine},
          {"variables", {}, 0, check_variables},
          {"deadline", {}, 1, check_deadline},
          {"fallback", {}, 0, check_fallback, "degraded"},
          {"cached", {}, 0, check_cached},
          {"packed", {}, 0, check_packed},
          {"carts", {"-i", "cart=cart:17", "-i", "carts=3"}, 0, check_carts},
          {"region", {"-i", "region=eu"}, 0, check_region},
          {"regions", {}, 0, check_regions, "succeeded", "region"},
          {"article", {"-i", "text=@" + source("examples/data/walden.txt")}, 0, check_article},
          {"http", {"-i", "base=@base"}, 0, check_http}};
}

class Examples : public ::testing::TestWithParam<Example> {
 protected:
  void SetUp() override {
    if (const std::string what = missing(GetParam().name); !what.empty()) GTEST_SKIP() << what;
  }
  std::string file() const { return source("examples/" + GetParam().name + ".yaml"); }
  std::vector<std::string> words(const std::string& verb) const {
    std::vector<std::string> all = {verb, file()};
    for (const std::string& word : GetParam().arguments)
      all.push_back(word == "base=@base" ? "base=" + stand_in().web() : word);
    all.insert(all.end(), {"-o", "json"});
    return all;
  }
  void check(const Finished& finished) const {
    EXPECT_EQ(finished.exit_code, GetParam().exit_code) << finished.out << finished.err;
    Result<Value> run = Value::parse(finished.out);
    ASSERT_TRUE(run.ok()) << "not one JSON value:\n" << finished.out;
    EXPECT_EQ(text_at(*run, {"status"}), GetParam().status);
    GetParam().check(*run);
  }
};

TEST_P(Examples, RunEmbedded) {
  std::vector<std::string> all = words("run");
  if (!GetParam().child.empty()) all.insert(all.end(), {"--apply", source("examples/" + GetParam().child + ".yaml")});
  all.insert(all.begin(), bin("millrace"));
  check(run_program(all, {{"OPENAI_BASE_URL", stand_in().url()}}, 120s));
}

TEST_P(Examples, RunOnACluster) {
  Cluster cluster{{.worker_options = {"--allow-egress", "loopback", "--providers", "openai=" + stand_in().url()}}};
  if (!GetParam().child.empty()) {
    ASSERT_EQ(cluster.cli({"workflow", "apply", source("examples/" + GetParam().child + ".yaml")}).exit_code, 0);
  }
  std::vector<std::string> all = words("submit");
  all.push_back("--wait");
  check(cluster.cli(all, 120s));
  EXPECT_EQ(problem_of_history(cluster.rows({"events", "@latest"})), "");
}

INSTANTIATE_TEST_SUITE_P(All, Examples, ::testing::ValuesIn(examples()),
                         [](const auto& example) { return example.param.name; });

TEST(ExamplesFolder, HoldsNoWorkflowThatIsNotRunHere) {
  std::set<std::string> known;
  for (const Example& example : examples()) known.insert(example.name);
  for (const auto& entry : std::filesystem::directory_iterator(source("examples"))) {
    if (entry.path().extension() != ".yaml") continue;
    EXPECT_TRUE(known.contains(entry.path().stem())) << entry.path();
  }
}

}  // namespace
}  // namespace millrace::test
