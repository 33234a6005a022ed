#include "worker/executors/mask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "worker/executors/encodings.h"
#include "worker/executors/secrets.h"

namespace millrace {
namespace {

Mask mask_of(std::initializer_list<const char*> secrets) {
  Mask mask;
  for (const char* secret : secrets) mask.add(secret);
  return mask;
}

TEST(Mask, EveryOccurrenceInTextIsReplaced) {
  EXPECT_EQ(mask_of({"hunter2"}).text("hunter2, hunter2hunter2; hunter3"), "***, ******; hunter3");
  EXPECT_EQ(mask_of({"ab", "abc"}).text("abc ab"), "*** ***") << "the longest first";
}

TEST(Mask, JsonStaysJsonWhateverTheSecretIs) {
  EXPECT_EQ(mask_of({"a\"b"}).json(R"({"k":"x a\"b y","a\"b":[1,"a\"b"]})"), R"({"k":"x *** y","***":[1,"***"]})");
  EXPECT_EQ(mask_of({"12345"}).json(R"({"n":12345,"m":[912345.5],"t":true})"), R"({"n":"***","m":["***"],"t":true})");
  EXPECT_EQ(mask_of({"zzz"}).json(R"({"n":1})"), R"({"n":1})");
}

TEST(Mask, EncodedFormsAreReplacedToo) {
  const Mask mask = mask_of({"s3cret/key+1"});
  EXPECT_EQ(mask.text("a=s3cret%2Fkey%2B1&b"), "a=***&b");
  for (const char* before : {"", "u", "us", "user:", "ada:"}) {
    const std::string encoded = base64(before + std::string("s3cret/key+1"));
    EXPECT_NE(mask.text(encoded).find("***"), std::string::npos) << before;
  }
}

TEST(Mask, Base64ShowsNoLetterThatASecretHasAPartIn) {
  for (const std::string secret : {"s3cret/key", "s3cret/key+", "s3cret/key+1", "\xff\xfe~~?>\xfb"}) {
    Mask mask;
    mask.add(secret);
    for (const std::string before : {"", "u", "us", "ada", "ada:"}) {
      for (const std::string after : {"", "@", "@h", "@host"}) {
        std::string encoded = base64(before + secret + after);
        // A letter is six bits: those that none of the secret's bits is among stay.
        const std::size_t head = before.size() * 8 / 6;
        const std::size_t end = ((before + secret).size() * 8 + 5) / 6;
        const std::string expected = encoded.substr(0, head) + "***" + encoded.substr(end);
        const std::string what = secret + " in " + encoded;
        EXPECT_EQ(mask.text(encoded), expected) << what;
        EXPECT_EQ(mask.json('"' + encoded + '"'), '"' + expected + '"') << what;
        std::string out;
        for (const char c : encoded + "\n") out += mask.stream(0, std::string(1, c));
        EXPECT_EQ(out + mask.flush(0), expected + "\n") << what;
        out.clear();
        for (const char c : encoded) out += mask.stream(0, std::string(1, c));
        EXPECT_EQ(out + mask.flush(0), expected) << what << ", at the end of a stream";
        std::ranges::replace(encoded, '+', '-');
        std::ranges::replace(encoded, '/', '_');
        EXPECT_NE(mask.text(encoded).find("***"), std::string::npos) << encoded;
      }
    }
  }
}

TEST(Mask, Base64ThatIsBrokenBeforeItsLastLetterIsMaskedUpToThere) {
  const std::string encoded = base64("s3cret/key");  // two letters of it stand in the last group
  const std::size_t last = encoded.size() - 3;
  EXPECT_EQ(mask_of({"s3cret/key"}).text(encoded.substr(0, last) + "\n" + encoded.substr(last)),
            "***\n" + encoded.substr(last));
}

TEST(Mask, AStreamIsMaskedAcrossTheBordersOfItsPieces) {
  Mask mask = mask_of({"hunter2"});
  std::string out;
  for (const char c : std::string("my hunter2 is hunted by a hunter2!")) out += mask.stream(0, std::string(1, c));
  EXPECT_EQ(out + mask.flush(0), "my *** is hunted by a ***!");
  EXPECT_EQ(mask.stream(0, "ends with hunt") + mask.stream(1, "er2."), "ends with er2.") << "streams do not mix";
  EXPECT_EQ(mask.flush(0), "hunt");
}

TEST(Secrets, ComeFromTheEnvironmentThenFromFilesByName) {
  const std::string dir =
      std::filesystem::temp_directory_path().string() + "/millrace-secrets-" + std::to_string(getpid());
  std::filesystem::create_directory(dir);
  std::ofstream(dir + "/TOKEN") << "from-file\n";
  std::ofstream(dir + "/EMPTY") << "\n";
  const Secrets secrets({"/no/such/dir", dir});
  EXPECT_EQ(secrets.find("TOKEN").value(), "from-file");
  setenv("MILLRACE_SECRET_TOKEN", "from-env", 1);
  EXPECT_EQ(secrets.find("TOKEN").value(), "from-env");
  unsetenv("MILLRACE_SECRET_TOKEN");
  EXPECT_EQ(secrets.find("EMPTY").error().what, "the secret 'EMPTY' is empty");
  EXPECT_EQ(secrets.find("OTHER").error().what,
            "the secret 'OTHER' is not known to this worker (looked for: MILLRACE_SECRET_OTHER, /no/such/dir/OTHER, " +
                dir + "/OTHER)");
  EXPECT_EQ(secrets.find("../etc/passwd").error().what,
            "the secret '../etc/passwd' has a name that no secret can have");
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace millrace
