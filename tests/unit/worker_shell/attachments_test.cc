#include "worker/shell/attachments.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace {
namespace {

std::string add(Attachments& held, std::string_view name, std::string_view bytes, bool first = true, bool last = true) {
  return held.take_in({name, "t/t", bytes, first, last});
}

std::vector<Artifact> taken(Attachments& held, std::vector<std::string>* texts = nullptr) {
  std::vector<SpoolFile> files;
  const Artifacts all = held.take(files);
  if (texts != nullptr) {
    for (const SpoolFile& file : files) texts->push_back(file.read(0, file.size()));
  }
  return all == nullptr ? std::vector<Artifact>{} : *all;
}

TEST(Attachments, ComeInPartsAndAreTakenByNameWithTheirHash) {
  Attachments held;
  EXPECT_EQ(add(held, "b", "one ", true, false), "");
  EXPECT_EQ(add(held, "b", "two", false, true), "");
  EXPECT_EQ(add(held, "a", ""), "");
  std::vector<std::string> texts;
  EXPECT_EQ(taken(held, &texts),
            (std::vector<Artifact>{{"a", "t/t", hash128(""), 0}, {"b", "t/t", hash128("one two"), 7}}));
  EXPECT_EQ(texts, (std::vector<std::string>{"", "one two"}));
}

TEST(Attachments, ALaterOneOfANameTakesThePlaceOfTheEarlierOneWhenItIsWhole) {
  Attachments held;
  EXPECT_EQ(add(held, "a", "first"), "");
  EXPECT_EQ(add(held, "a", "second", true, false), "");
  EXPECT_EQ(add(held, "b", "other"), "") << "the second one was never ended";
  EXPECT_EQ(taken(held), (std::vector<Artifact>{{"a", "t/t", hash128("first"), 5}, {"b", "t/t", hash128("other"), 5}}));
  EXPECT_EQ(add(held, "a", "first"), "");
  EXPECT_EQ(add(held, "a", "second"), "");
  EXPECT_EQ(taken(held), (std::vector<Artifact>{{"a", "t/t", hash128("second"), 6}}));
}

TEST(Attachments, WhatDoesNotFitIsRefusedInWords) {
  Attachments held;
  EXPECT_EQ(add(held, "../a", "x"), "the name of an artifact is that of a file, without a path");
  EXPECT_EQ(add(held, "..", "x"), "an artifact cannot be named \"..\"");
  EXPECT_EQ(add(held, "", "x"), "the name of an artifact has 1 to 200 bytes");
  EXPECT_EQ(add(held, "a\nb", "x"), "the name of an artifact has no control characters");
  EXPECT_EQ(add(held, "\xff", "x"), "the name of an artifact is UTF-8");
  EXPECT_EQ(add(held, "a", "x", false, true), "a part without a beginning");
  EXPECT_EQ(held.take_in({"a", "t\n", "x", true, true}), "the content type of an artifact is ASCII, like text/plain");
  for (std::size_t i = 0; i < kArtifactsMax; ++i) EXPECT_EQ(add(held, std::to_string(i), "x"), "");
  EXPECT_EQ(add(held, "more", "x"), "a task hands over at most 64 artifacts");
  EXPECT_EQ(add(held, "7", "again"), "") << "that is no further one";
  EXPECT_EQ(taken(held).size(), kArtifactsMax);
}

TEST(Attachments, OneThatIsTooLargeIsForgottenAndTheOthersStay) {
  Attachments held;
  EXPECT_EQ(add(held, "good", "x"), "");
  const std::string part(64 << 20, 'x');
  EXPECT_EQ(add(held, "big", part, true, false), "");
  for (int i = 1; i < 4; ++i) EXPECT_EQ(add(held, "big", part, false, false), "");
  EXPECT_EQ(add(held, "big", "x", false, true), "the artifact 'big' is larger than 256 MiB");
  EXPECT_EQ(taken(held).size(), 1U);
}

}  // namespace
}  // namespace millrace
