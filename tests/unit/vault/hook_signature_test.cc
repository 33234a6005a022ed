#include "common/vault/hook_signature.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

// From RFC 4231, test case 2.
constexpr const char* kBody = "what do ya want for nothing?";
constexpr const char* kSecret = "Jefe";
constexpr const char* kMac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

TEST(HookSignature, IsHmacSha256OfTheBody) {
  EXPECT_EQ(hook_signature(kBody, kSecret), std::string("sha256=") + kMac);
  EXPECT_TRUE(is_signature(std::string("sha256=") + kMac, kBody, kSecret));
  EXPECT_TRUE(is_signature(kMac, kBody, kSecret));
  EXPECT_TRUE(is_signature("SHA256=5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843", kBody, kSecret));
}

TEST(HookSignature, OfAnythingElseIsNotRight) {
  const std::string right = hook_signature(kBody, kSecret);
  EXPECT_FALSE(is_signature(right, std::string(kBody) + " ", kSecret));
  EXPECT_FALSE(is_signature(right, kBody, "jefe"));
  EXPECT_FALSE(is_signature(hook_signature(kBody, ""), kBody, "")) << "no secret is no proof";
  for (std::size_t i = 7; i < right.size(); ++i) {
    std::string wrong = right;
    wrong[i] = wrong[i] == '0' ? '1' : '0';
    EXPECT_FALSE(is_signature(wrong, kBody, kSecret)) << i;
  }
  for (const std::string& cut : {std::string(), std::string("sha256="), right.substr(0, 70), right + "0", right + "\n",
                                 std::string("sha1=") + kMac, std::string(64, 'g')})
    EXPECT_FALSE(is_signature(cut, kBody, kSecret)) << cut;
}

TEST(BearerToken, IsTheSecretItselfBehindItsScheme) {
  EXPECT_TRUE(is_bearer_token("Bearer s3cret", "s3cret"));
  EXPECT_TRUE(is_bearer_token("bearer  s3cret", "s3cret"));
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets", "Basic s3cret", "s3cret"})
    EXPECT_FALSE(is_bearer_token(wrong, "s3cret")) << wrong;
  EXPECT_FALSE(is_bearer_token("Bearer ", ""));
}

}  // namespace
}  // namespace millrace
