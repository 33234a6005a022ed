#include "worker/shell/task_logs.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace millrace {
namespace {

struct Printed {
  std::vector<std::string> pieces;
  std::string all;
  TaskLogs logs{[this](const AttemptId&, LogStream stream, std::string text) {
    all += text;
    pieces.push_back((stream == LogStream::kStderr ? "err " : "out ") + text);
  }};
};

constexpr Time kStart = from_us(1'000'000);
const AttemptId kTask{RunId{1}, TaskIndex{1}, 1, 1};
using Pieces = std::vector<std::string>;

TEST(TaskLogs, GatherPiecesUntilTheirTimeHasCome) {
  Printed p;
  p.logs.add(kStart, kTask, LogStream::kStdout, "a");
  p.logs.add(kStart + 50ms, kTask, LogStream::kStdout, "b");
  p.logs.add(kStart + 60ms, kTask, LogStream::kStderr, "c");
  EXPECT_EQ(p.logs.next_deadline(), kStart + kLogEvery);
  p.logs.pass(kStart + kLogEvery - 1us);
  EXPECT_EQ(p.pieces, Pieces{});
  p.logs.pass(kStart + kLogEvery);
  EXPECT_EQ(p.pieces, (Pieces{"out ab", "err c"}));
  EXPECT_EQ(p.logs.next_deadline(), kNever);
}

TEST(TaskLogs, PassOnWhatIsLeftWhenTheTaskEnds) {
  Printed p;
  p.logs.add(kStart, kTask, LogStream::kStdout, "last words");
  p.logs.end(kTask);
  p.logs.end(kTask);
  EXPECT_EQ(p.pieces, (Pieces{"out last words"}));
  EXPECT_EQ(p.logs.next_deadline(), kNever);
}

TEST(TaskLogs, NeverCutACharacterInTwo) {
  Printed p;
  const std::string euro = "\xE2\x82\xAC";
  p.logs.add(kStart, kTask, LogStream::kStdout, "x" + euro.substr(0, 2));
  p.logs.pass(kStart + kLogEvery);
  EXPECT_EQ(p.pieces, (Pieces{"out x"}));
  p.logs.add(kStart + 1s, kTask, LogStream::kStdout, euro.substr(2));
  p.logs.end(kTask);
  EXPECT_EQ(p.pieces, (Pieces{"out x", "out " + euro}));
}

TEST(TaskLogs, ReplaceWhatIsNotText) {
  Printed p;
  p.logs.add(kStart, kTask, LogStream::kStdout, "a\xFF");
  p.logs.end(kTask);
  EXPECT_EQ(p.all, "a\xEF\xBF\xBD");
}

TEST(TaskLogs, SplitLongTextIntoBoundedPieces) {
  Printed p;
  p.logs.add(kStart, kTask, LogStream::kStdout, std::string(kLogPiece * 2 + 5, 'x'));
  p.logs.end(kTask);
  ASSERT_EQ(p.pieces.size(), 3U);
  EXPECT_EQ(p.all, std::string(kLogPiece * 2 + 5, 'x'));
}

TEST(TaskLogs, DropWhatIsBeyondTheRateAndSayHowMuch) {
  Printed p;
  p.logs.add(kStart, kTask, LogStream::kStdout, std::string(kLogRate + 1000, 'x'));
  p.logs.add(kStart, kTask, LogStream::kStdout, std::string(24, 'y'));
  p.logs.add(kStart + 1s, kTask, LogStream::kStdout, "later");
  p.logs.end(kTask);
  EXPECT_EQ(p.all, std::string(kLogRate, 'x') + "\n[1024 bytes of log dropped: more than 256 KiB a second]\nlater");
}

TEST(TaskLogs, SayAtTheEndWhatWasDroppedLast) {
  Printed p;
  p.logs.add(kStart, kTask, LogStream::kStderr, std::string(kLogRate + 7, 'x'));
  p.logs.end(kTask);
  EXPECT_EQ(p.all, std::string(kLogRate, 'x') + "\n[7 bytes of log dropped: more than 256 KiB a second]\n");
}

TEST(TaskLogs, TheRateIsThatOfEachTaskAlone) {
  Printed p;
  const AttemptId other{RunId{1}, TaskIndex{2}, 1, 1};
  p.logs.add(kStart, kTask, LogStream::kStdout, std::string(kLogRate, 'x'));
  p.logs.add(kStart, other, LogStream::kStdout, std::string(kLogRate, 'x'));
  p.logs.end(kTask);
  p.logs.end(other);
  EXPECT_EQ(p.all.size(), kLogRate * 2);
}

TEST(TaskLogs, CountWhatIsDropped) {
  Printed p;
  p.logs.add(kStart, kTask, LogStream::kStdout, std::string(kLogRate + 1000, 'x'));
  p.logs.add(kStart, kTask, LogStream::kStderr, "more");
  EXPECT_EQ(p.logs.bytes(), kLogRate + 1004);
  EXPECT_EQ(p.logs.bytes_dropped(), 1004U);
  p.logs.end(kTask);
  p.logs.add(kStart, AttemptId{RunId{2}, TaskIndex{1}, 1, 1}, LogStream::kStdout, "of another");
  EXPECT_EQ(p.logs.bytes_dropped(), 1004U);
}

}  // namespace
}  // namespace millrace
