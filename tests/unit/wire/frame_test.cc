#include "common/wire/frame.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace {
namespace {

TEST(Frame, EveryKindOpensAsItself) {
  for (int number = 1; number <= 5; ++number) {
    const auto kind = static_cast<FrameKind>(number);
    const std::string_view parts[] = {envelope(kind), "body"};
    const Result<std::string_view> body = open_frame(parts, kind);
    ASSERT_TRUE(body.ok()) << body.error().what;
    EXPECT_EQ(*body, "body");
  }
}

TEST(Frame, AStrangerIsNamedAsOne) {
  for (std::string_view text : {"", "MR", "GET / HTTP/1.1", "XR\x01\x01"}) {
    const Result<FrameKind> kind = check_envelope(text, 0);
    ASSERT_FALSE(kind.ok());
    EXPECT_EQ(kind.error().name, "frame_magic");
  }
}

TEST(Frame, AnotherVersionIsRefusedWithBothNumbers) {
  std::string other(envelope(FrameKind::kRequest));
  other[2] = 9;
  const Result<FrameKind> kind = check_envelope(other, 0);
  ASSERT_FALSE(kind.ok());
  EXPECT_EQ(kind.error().name, "frame_version");
  EXPECT_NE(kind.error().what.find("version 9"), std::string::npos);
  EXPECT_NE(kind.error().what.find("version " + std::to_string(kProtocolVersion)), std::string::npos);
}

TEST(Frame, AnUnknownKindIsRefused) {
  for (const char number : {'\0', '\7', '\xff'}) {
    std::string odd(envelope(FrameKind::kRequest));
    odd[3] = number;
    EXPECT_EQ(check_envelope(odd, 0).error().name, "frame_kind");
  }
}

TEST(Frame, AnotherKindThanExpectedIsRefused) {
  const std::string_view parts[] = {envelope(FrameKind::kReply), "body"};
  EXPECT_EQ(open_frame(parts, FrameKind::kRequest).error().name, "frame_kind");
}

TEST(Frame, ABodyOverTheLimitOfItsKindIsRefused) {
  for (int number = 1; number <= 5; ++number) {
    const auto kind = static_cast<FrameKind>(number);
    EXPECT_TRUE(check_envelope(envelope(kind), body_max(kind)).ok());
    EXPECT_EQ(check_envelope(envelope(kind), body_max(kind) + 1).error().name, "frame_too_large");
    EXPECT_FALSE(check_body(kind, body_max(kind) + 1).ok());
  }
}

TEST(Frame, AMessageOfMoreOrFewerThanTwoPartsIsRefused) {
  const std::string_view one[] = {envelope(FrameKind::kReply)};
  const std::string_view three[] = {envelope(FrameKind::kReply), "body", "more"};
  EXPECT_EQ(open_frame(one, FrameKind::kReply).error().name, "frame_parts");
  EXPECT_EQ(open_frame(three, FrameKind::kReply).error().name, "frame_parts");
  EXPECT_EQ(open_frame({}, FrameKind::kReply).error().name, "frame_parts");
}

}  // namespace
}  // namespace millrace
