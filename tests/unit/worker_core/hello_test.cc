#include <gtest/gtest.h>

#include "tests/support/agent_world.h"
#include "worker/core/agent.h"

namespace millrace {
namespace {

using test::AgentWorld;
using test::Lines;

TEST(AgentHello, IsSaidWhenALinkComesUpWithItsCreditBehindIt) {
  AgentWorld w(/*slots=*/2, /*io_slots=*/50);
  w.step(LinkUp{LinkId{0}});
  EXPECT_EQ(w.took(), (Lines{"0: hello held=", "0: credit cpu=2 io=50"}));
}

TEST(AgentHello, NamesEverythingHeldByWhomeverItCameAndTheLinksOwnReportsFollow) {
  AgentWorld w(2);
  w.connected(0).connected(1);
  w.assign_task({.name = "d#1", .upstream = {{TaskIndex{0}, 3}, {TaskIndex{1}, 4}}});
  w.took();
  w.ends("d#1", 1s);  // ended, unanswered
  w.took();
  w.assign_task({.name = "c#1", .upstream = {{TaskIndex{0}, 3}}});
  w.assign("x#1", 1);
  w.assign("b#1");
  EXPECT_EQ(w.took(), (Lines{"start c#1", "start x#1"}));
  w.pass(kHelloEvery);
  w.took();
  w.says(SayHello{}, 0);
  EXPECT_EQ(w.took(), (Lines{"0: hello held=b#1(queued),c#1 on a@3,d#1 on a@3 on b@4,x#1",
                             "0: report d#1 ok on a@3 on b@4", "0: credit cpu=1 io=0"}));
}

TEST(AgentHello, ReportsNameWhatTheyRestOnOnlyAfterANewHello) {
  AgentWorld w(2);
  w.connected();
  w.assign_task({.name = "b#1", .upstream = {{TaskIndex{0}, 3}}});
  w.assign_task({.name = "c#1", .upstream = {{TaskIndex{0}, 3}}});
  w.took();
  w.ends("b#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report b#1 ok"}));
  w.answer("b#1");
  w.pass(kHelloEvery);
  w.says(SayHello{});
  w.took();
  w.ends("c#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report c#1 ok on a@3"}));
  w.assign_task({.name = "d#1", .upstream = {{TaskIndex{0}, 3}}});  // since the Hello: the epoch knows it
  w.took();
  w.ends("d#1", 1s);
  EXPECT_EQ(w.took(), (Lines{"0: report d#1 ok"}));
}

// By that the coordinator knows what must have come before: an attempt that such a Hello does not name is lost.
TEST(AgentHello, NamesTheLatestRequestThatCameOverItsLine) {
  AgentWorld w;
  w.connected(0);
  auto hello_after = [&](auto said) {
    w.pass(kHelloEvery);
    w.took();
    said();
    return w.took().front();
  };
  EXPECT_EQ(hello_after([&] { w.says(SayHello{7}); }), "0: hello held= answers=7");
  // Asked over another line, which says nothing about this one.
  EXPECT_EQ(hello_after([&] { w.says(SayHello{}); }), "0: hello held= answers=7");
  // Nothing has come over a new line.
  EXPECT_EQ(hello_after([&] { w.step(LinkUp{LinkId{0}}); }), "0: hello held=");
  EXPECT_NE(kNothingAsked, 0U) << "what an older worker says";
}

TEST(AgentHello, ManyRequestsOfOneMomentAreOneHello) {
  AgentWorld w;
  w.connected();
  w.says(SayHello{});
  w.says(SayHello{});
  w.pass(kHelloEvery - 1us);
  EXPECT_EQ(w.took(), Lines{});
  w.pass(1us);
  EXPECT_EQ(w.took(), (Lines{"0: hello held=", "0: credit cpu=1 io=0"}));
  w.says(WorkerWelcome{});
  w.pass(1s);
  EXPECT_EQ(w.took(), Lines{});
}

TEST(AgentHello, IsRepeatedToACoordinatorThatDoesNotWelcome) {
  AgentWorld w;
  w.step(LinkUp{LinkId{0}});
  w.took();
  w.pass(kSilentAfter - 1us);
  EXPECT_EQ(w.took(), Lines{});
  w.pass(1us);
  EXPECT_EQ(w.took(), (Lines{"0: hello held=", "0: credit cpu=1 io=0"}));
}

// Its coordinator says that it is there, and may have missed what this worker has said all the same.
TEST(AgentHello, IsRepeatedNowAndThenToACoordinatorThatIsNeverSilent) {
  AgentWorld w;
  w.connected();
  Duration passed{};
  for (; passed + 5s < kReconcileAtLeast; passed += 5s) {
    w.pass(5s);
    w.says(ClusterNews{});
  }
  EXPECT_EQ(w.took(), Lines{});
  w.pass(5s);
  EXPECT_EQ(w.took(), (Lines{"0: hello held=", "0: credit cpu=1 io=0"}));
}

TEST(AgentHello, IsRepeatedWhenReportsStayWithoutAnyWord) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  w.ends("a#1", 1s);
  w.took();
  w.pass(kSilentAfter - 1us);
  EXPECT_EQ(w.took(), (Lines{"0: report a#1 ok", "0: report a#1 ok"}));
  w.pass(1us);
  EXPECT_EQ(w.took(), (Lines{"0: hello held=a#1", "0: report a#1 ok", "0: credit cpu=1 io=0"}));
}

TEST(AgentHello, IsRepeatedRarelyWhenNothingIsOwed) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  w.pass(kReconcileAfter - 1us);
  EXPECT_EQ(w.took(), (Lines{"0: started a#1"}));
  w.pass(1us);
  EXPECT_EQ(w.took(), (Lines{"0: hello held=a#1", "0: credit cpu=1 io=0"}));
}

TEST(AgentHello, ALinkThatIsDownHearsNothingAndIsToldAllWhenItComesUp) {
  AgentWorld w(2);
  w.connected();
  w.assign("a#1 b#1 c#1");
  w.took();
  w.step(LinkDown{LinkId{0}});
  w.ends("a#1", 1s);
  w.pass(5s);
  EXPECT_EQ(w.took(), (Lines{"start c#1"}));
  w.step(LinkUp{LinkId{0}});
  EXPECT_EQ(w.took(), (Lines{"0: hello held=a#1,b#1,c#1", "0: report a#1 ok", "0: credit cpu=2 io=0"}));
}

TEST(AgentHello, SaysThatTheWorkerIsDraining) {
  AgentWorld w;
  w.connected();
  w.assign("a#1");
  w.took();
  w.step(DrainRequested{});
  w.took();
  w.pass(kHelloEvery);
  w.says(SayHello{});
  w.took();
  w.pass(kHelloEvery);
  w.says(SayHello{});
  EXPECT_EQ(w.took(), (Lines{"0: hello held=a#1 draining"}));
}

}  // namespace
}  // namespace millrace
