#include "common/io/allow_list.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace millrace {
namespace {

const std::string kA = new_curve_keys().public_key;
const std::string kB = new_curve_keys().public_key;

AllowedKey worker(const std::string& name, const std::string& key, std::vector<std::string> ids = {}) {
  return {{name, Role::kWorker, key}, std::move(ids)};
}

TEST(AllowList, ReadsRolesNamesKeysAndIdsAndKeepsCommentsAndOrder) {
  const std::string text = "# ours\n\nworker  w1 " + kA + "   ids=w1,gpu-*\n\toperator alice\t" + kB + "\r\n# end\n";

  const Result<AllowList> list = AllowList::parse(text, "l");

  ASSERT_TRUE(list.ok()) << list.error().what;
  ASSERT_EQ(list->keys().size(), 2U);
  EXPECT_EQ(*list->find(kA), worker("w1", kA, {"w1", "gpu-*"}));
  EXPECT_EQ(list->find(kB)->key, (NamedKey{"alice", Role::kOperator, kB}));
  EXPECT_EQ(list->find(new_curve_keys().public_key), nullptr);
  EXPECT_EQ(list->text(), text);
}

TEST(AllowList, EveryMistakeIsToldWithItsLine) {
  const std::string text = "king w1 " + kA + "\nworker w/1 " + kA + "\nworker w1\nworker w1 " + kA.substr(1) +
                           "\nworker w1 " + kA + "\nworker w2 " + kA + "\noperator w1 " + kB + "\noperator al " + kB +
                           " ids=x\nworker w3 " + kB + " ids=a*b\nworker w3 " + kB + " idz=a\nworker w3 " + kB +
                           " ids=\nworker w3 " + kB + " ids=a extra\n";

  const Result<AllowList> list = AllowList::parse(text, "l");

  ASSERT_FALSE(list.ok());
  EXPECT_EQ(list.error().name, "allow_list");
  EXPECT_NE(list.error().what.find("l:1: no such role"), std::string::npos) << list.error().what;
  std::vector<int> lines;
  for (const Problem& problem : list.error().details) lines.push_back(problem.line);
  EXPECT_EQ(lines, (std::vector<int>{1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12})) << "all but the good line 5";
}

TEST(AllowList, AddsOnceAndRefusesWhatIsTaken) {
  AllowList list;
  ASSERT_TRUE(list.add(worker("w1", kA), false).ok());
  const std::string before = list.text();
  EXPECT_TRUE(list.add(worker("w1", kA), false).ok());
  EXPECT_EQ(list.text(), before) << "the same again changes nothing";

  EXPECT_EQ(list.add(worker("w2", kA), false).error().name, "key_known");
  EXPECT_EQ(list.add(worker("w1", kB), false).error().name, "name_taken");
  EXPECT_EQ(list.add({{"w1", Role::kOperator, kB}, {}}, true).error().name, "name_taken") << "roles are not exchanged";
  EXPECT_EQ(list.text(), before);

  EXPECT_TRUE(list.add(worker("w1", kB), true).ok());
  EXPECT_EQ(AllowList::parse(list.text(), "l")->keys(), list.keys());
}

TEST(AllowList, TakesAwayByNameOrByKeyAndKeepsTheRest) {
  AllowList list = AllowList::parse("# one\nworker w1 " + kA + "\n# two\nworker w1 " + kB + "\n", "l").value();
  AllowList both = list;

  EXPECT_EQ(list.remove(kA).size(), 1U);
  EXPECT_EQ(list.find(kA), nullptr);
  EXPECT_NE(list.find(kB), nullptr);
  EXPECT_EQ(list.text(), "# one\n# two\nworker w1 " + kB + "\n");

  EXPECT_EQ(both.remove("w1").size(), 2U);
  EXPECT_EQ(both.text(), "# one\n# two\n");
  EXPECT_TRUE(both.remove("w1").empty());
}

TEST(AllowList, PatternsOfIdsAreWholeOrBeginnings) {
  const AllowedKey key = worker("g", kA, {"one", "gpu-*"});
  for (const char* good : {"one", "gpu-", "gpu-7"}) EXPECT_TRUE(may_have_id(key, good)) << good;
  for (const char* bad : {"", "on", "one2", "gpu", "xgpu-1"}) EXPECT_FALSE(may_have_id(key, bad)) << bad;
  EXPECT_TRUE(may_have_id(worker("w", kA), "anything"));
  for (const char* bad : {"", "a*b", "a,b", "a b", "**"}) EXPECT_FALSE(is_id_pattern(bad)) << bad;
  EXPECT_TRUE(is_id_pattern("*"));
}

TEST(AllowList, ChangesOfManyProcessesAtOnceAreAllKept) {
  std::string directory = ::testing::TempDir() + "/millrace-list-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/authorized";
  std::vector<std::thread> threads;  // each opens the lock for itself, as a process does
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 5; ++j) {
        const AllowedKey key = worker("w" + std::to_string(i) + "-" + std::to_string(j), new_curve_keys().public_key);
        EXPECT_TRUE(change_allow_list(path, true, [&](AllowList& list) { return list.add(key, false); }).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(AllowList::read(path)->keys().size(), 40U);
  const std::string before = AllowList::read(path)->text();
  const Status failed = change_allow_list(path, true, [](AllowList& list) -> Status {
    list.remove("w1-1");
    return Error{Code::kNotFound, "no", {}, ""};
  });
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(AllowList::read(path)->text(), before) << "a change that failed is not written";
  EXPECT_EQ(change_allow_list(directory + "/none", false, [](AllowList&) { return Done{}; }).error().code,
            Code::kNotFound);
  EXPECT_EQ(std::system(("rm -r " + directory).c_str()), 0);
}

}  // namespace
}  // namespace millrace
