// Which coordinators a worker keeps a link to.
#include "worker/core/directory.h"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

using Changes = std::vector<Directory::Change>;

Time at(int ms) { return Time{} + std::chrono::milliseconds(100'000 + ms); }
Directory::Change opens(std::uint32_t link, const std::string& endpoint) { return {LinkId{link}, endpoint, true}; }
Directory::Change closes(std::uint32_t link, const std::string& endpoint) { return {LinkId{link}, endpoint, false}; }

ClusterNews news(const std::vector<std::string>& names) {
  ClusterNews news;
  for (const std::string& name : names) news.members.push_back({name, "tcp://" + name});
  return news;
}
WorkerWelcome welcome(const std::string& by, const std::vector<std::string>& names) {
  return {WorkerId{1}, by, news(names)};
}

TEST(Directory, BeginsWithTheAddressesItWasGiven) {
  Directory directory({"tcp://a", "tcp://b"});
  EXPECT_EQ(directory.begin(at(0)), (Changes{opens(0, "tcp://a"), opens(1, "tcp://b")}));
}

TEST(Directory, OneAddressLeadsToAll) {
  Directory directory({"tcp://a"});
  directory.begin(at(0));
  EXPECT_EQ(directory.heard(at(1), LinkId{0}, welcome("a", {"a", "b", "c"})),
            (Changes{opens(1, "tcp://b"), opens(2, "tcp://c")}));
  EXPECT_TRUE(directory.heard(at(2), LinkId{1}, welcome("b", {"a", "b", "c"})).empty());
}

TEST(Directory, ACoordinatorThatComesLaterIsLearnedFromNews) {
  Directory directory({"tcp://a"});
  directory.begin(at(0));
  directory.heard(at(1), LinkId{0}, welcome("a", {"a"}));
  EXPECT_EQ(directory.heard(at(2), LinkId{0}, news({"a", "b"})), (Changes{opens(1, "tcp://b")}));
}

TEST(Directory, OneThatNobodyElseNamesAnyMoreIsLeftAndItsNumberUsedAgain) {
  Directory directory({"tcp://a"});
  directory.begin(at(0));
  directory.heard(at(1), LinkId{0}, welcome("a", {"a", "b"}));
  directory.heard(at(2), LinkId{1}, welcome("b", {"a", "b"}));
  EXPECT_TRUE(directory.heard(at(3000), LinkId{1}, news({"b"})).empty()) << "it may still be there";
  EXPECT_EQ(directory.heard(at(14'000), LinkId{1}, news({"b"})), (Changes{closes(0, "tcp://a")}));
  EXPECT_FALSE(directory.is_open(LinkId{0}));
  EXPECT_EQ(directory.heard(at(14'001), LinkId{1}, news({"b", "c"})), (Changes{opens(0, "tcp://c")}));
}

TEST(Directory, TheLastOneIsKeptWhateverItSays) {
  Directory directory({"tcp://service"});
  directory.begin(at(0));
  EXPECT_EQ(directory.heard(at(1), LinkId{0}, welcome("a", {"a"})), (Changes{opens(1, "tcp://a")}));
  EXPECT_TRUE(directory.is_open(LinkId{0}));
}

TEST(Directory, AServiceAddressGivesWayToTheCoordinatorsOwn) {
  Directory directory({"tcp://service"});
  directory.begin(at(0));
  EXPECT_EQ(directory.heard(at(1), LinkId{0}, welcome("a", {"a", "b"})),
            (Changes{opens(1, "tcp://a"), opens(2, "tcp://b")}));
  EXPECT_EQ(directory.heard(at(2), LinkId{1}, welcome("a", {"a", "b"})), (Changes{closes(0, "tcp://service")}));
  EXPECT_TRUE(directory.heard(at(3), LinkId{2}, welcome("b", {"a", "b"})).empty());
}

TEST(Directory, AGivenAddressThatHasNotAnsweredYetIsStillTried) {
  Directory directory({"tcp://a", "tcp://later"});
  directory.begin(at(0));
  EXPECT_TRUE(directory.heard(at(1), LinkId{0}, welcome("a", {"a"})).empty());
  EXPECT_TRUE(directory.is_open(LinkId{1}));
}

TEST(Directory, WhenNobodyAnswersTheGivenAddressesAreTriedAgain) {
  Directory directory({"tcp://service"});
  directory.begin(at(0));
  directory.heard(at(1), LinkId{0}, welcome("a", {"a"}));
  directory.heard(at(2), LinkId{1}, welcome("a", {"a"}));
  ASSERT_FALSE(directory.is_open(LinkId{0}));
  EXPECT_TRUE(directory.pass(at(4000)).empty());
  EXPECT_EQ(directory.pass(at(6000)), (Changes{opens(0, "tcp://service")}));
  EXPECT_TRUE(directory.pass(at(6001)).empty());
}

TEST(Directory, OldNewsIsNotBelieved) {
  Directory directory({"tcp://a", "tcp://b"});
  directory.begin(at(0));
  directory.heard(at(1), LinkId{0}, welcome("a", {"a", "b"}));
  directory.heard(at(2), LinkId{1}, welcome("b", {"a", "b"}));
  EXPECT_TRUE(directory.heard(at(14'000), LinkId{1}, news({"b", "a"})).empty());
  directory.heard(at(14'001), LinkId{1}, news({"a", "b", "c"}));
  // What `a` said of `b` counts no more; and with `b` gone nobody names `a`.
  EXPECT_TRUE(directory.heard(at(14'100), LinkId{2}, welcome("c", {"c"})).empty()) << "`b` has just spoken, and of `a`";
  EXPECT_EQ(directory.heard(at(28'000), LinkId{2}, news({"c"})), (Changes{closes(0, "tcp://a"), closes(1, "tcp://b")}));
}

}  // namespace
}  // namespace millrace::test
