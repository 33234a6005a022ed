#include "common/model/requirement_set.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

RequirementSet from_file(const std::string& text) {
  Result<RequirementSet> set = parse_requirements_file(text, "r.txt");
  EXPECT_TRUE(set.ok()) << (set.ok() ? "" : set.error().what);
  return set.ok() ? *set : RequirementSet();
}

std::string wrong_file(const std::string& text) {
  const Result<RequirementSet> set = parse_requirements_file(text, "r.txt");
  return set.ok() ? "" : set.error().what;
}

TEST(RequirementSet, TakesPinnedPackages) {
  for (const char* line :
       {"numpy==1.26.4", "a==1", "zope.interface == 6.0", "requests[socks,use_chardet_on_py3]==2.31.0",
        "x==1!2.0+local-3", "x==1;python_version<'3.12'", "x==1 ; sys_platform == \"linux\"", "x==1 --hash=sha256:0a1b",
        "x==1; os_name=='posix' --hash=sha256:0a1b --hash=sha512:ff", "x[ a , b ]==1"})
    EXPECT_TRUE(is_pinned_requirement(line)) << line;
}

TEST(RequirementSet, LetsNothingElseThroughToPip) {
  for (const char* line : {"",
                           "numpy",
                           "numpy>=1",
                           "numpy==",
                           "numpy==1.*",
                           "numpy===1",
                           "numpy~=1.0",
                           "numpy==1,<2",
                           "-r other.txt",
                           "--index-url http://x",
                           "-e .",
                           "./wheel.whl",
                           "http://x/y.whl",
                           "a @ http://x",
                           "a==1 --index-url http://x",
                           "a==1; python_version<'3' --index-url http://x",
                           "a==1;",
                           "a==1 --hash=sha256",
                           "a==1 --hash=sha256:a;b",
                           "a==1 --hash=sha256:a--x",
                           "a==1 b==2",
                           "a[==1",
                           "a[]==1",
                           "-a==1",
                           " a==1",
                           "a==1\n-r x",
                           "a==1\x7f",
                           "\xc3\xa4==1"})
    EXPECT_FALSE(is_pinned_requirement(line)) << line;
}

TEST(RequirementSet, OfTheSameWishesIsTheSame) {
  const Value list = Value::Array{"b==2", " a==1 ", "b==2"};
  EXPECT_EQ(read_requirements(list).value(), (RequirementSet{"a==1", "b==2"}));
  EXPECT_EQ(from_file("# what we need\nb==2  # of all\n\na==1\n"), (RequirementSet{"a==1", "b==2"}));
  EXPECT_EQ(from_file("a==1 \\\n    --hash=sha256:0a \\\n    --hash=sha256:0b\r\nb==2"),
            (RequirementSet{"a==1 --hash=sha256:0a --hash=sha256:0b", "b==2"}));
}

TEST(RequirementSet, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(read_requirements(Value::Array{"a==1", "b>2"}).error().what,
            "\"b>2\" is no pinned package; expected NAME==VERSION");
  EXPECT_EQ(read_requirements(Value::Array{5}).error().what, "\"5\" is no pinned package; expected NAME==VERSION");
  EXPECT_EQ(read_requirements(Value("a==1")).error().what, "it is no list of texts");
  EXPECT_EQ(read_requirements(Value::Array{}).error().what, "there is no package in it");
  EXPECT_EQ(wrong_file("a==1\n-r more.txt\n"), "r.txt:2: \"-r more.txt\" is no pinned package; expected NAME==VERSION");
  EXPECT_EQ(wrong_file("# nothing\n"), "r.txt: there is no package in it");
  EXPECT_EQ(wrong_file("a==1 \\"), "") << "a backslash at the end has nothing to go on with";
  EXPECT_EQ(wrong_file(std::string(kRequirementsBytesMax + 1, '#')), "r.txt: larger than 64 KiB");
  Value::Array many;
  for (std::size_t i = 0; i <= kRequirementsMax; ++i) many.emplace_back("p" + std::to_string(i) + "==1");
  EXPECT_EQ(read_requirements(Value(many)).error().what, "at most 200 packages and 64 KiB");
}

}  // namespace
}  // namespace millrace
