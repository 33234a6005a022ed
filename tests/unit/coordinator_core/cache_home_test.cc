#include "coordinator/core/cache_home.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Kind = CacheAnswer::Kind;

// A home, its store, and what its answers were, as "1 compute", "2 take 5", "3 compute old 5".
class Home {
 public:
  Home& ask(std::uint64_t run, const std::string& key = "k", Duration ttl = 1h, bool old = false,
            const std::string& tenant = "default") {
    home_.asked(now_, name(key, tenant), RunId{run}, TaskIndex{0}, ttl, old);
    return settle();
  }
  Home& give(std::uint64_t run, const std::string& json, const std::string& key = "k", Duration ttl = 1h) {
    home_.given(now_, name(key), RunId{run}, TaskIndex{0}, ttl, Payload::inline_json(json));
    return settle();
  }
  Home& give_large(std::uint64_t run, std::uint64_t bytes, const std::string& key) {
    home_.given(now_, name(key), RunId{run}, TaskIndex{0}, 1h, Payload::reference(hash128(key), bytes));
    return settle();
  }
  Home& leave(std::uint64_t run, const std::string& key = "k") {
    home_.left(now_, name(key), RunId{run}, TaskIndex{0});
    return settle();
  }
  Home& pass(Duration length) {
    now_ += length;
    home_.expire(now_);
    return settle();
  }
  Home& answer_at_most(int answers) { return answers_max_ = answers, *this; }
  Home& go_on() { return settle(); }
  // Another owner, whose clock is so far behind.
  Home& restart(Duration behind = {}) {
    now_ -= behind;
    home_ = CacheHome();
    for (const auto& [field, entry] : entries_) home_.restore(now_, entry);
    for (const auto& [field, asker] : askers_) home_.restore(asker);
    home_.restored();
    return settle();
  }
  std::vector<std::string> said() { return std::exchange(said_, {}); }
  std::size_t entries() const { return entries_.size(); }
  std::size_t askers() const { return askers_.size(); }
  std::string counts() const {  // hits, misses, waits
    return std::to_string(counts_.hits) + " " + std::to_string(counts_.misses) + " " + std::to_string(counts_.waits);
  }
  const CacheHome& home() const { return home_; }
  Time now() const { return now_; }

 private:
  static CacheName name(const std::string& key, const std::string& tenant = "default") {
    return {tenant, hash128(key)};
  }
  Home& settle() {
    take();
    for (int i = 0; home_.answering() && i < answers_max_; ++i) {
      home_.answer_one();
      take();
    }
    EXPECT_EQ(home_.entries(), entries_.size()) << "the store has what it has";
    EXPECT_EQ(home_.askers(), askers_.size());
    return *this;
  }
  void take() {
    CacheEffects effects = home_.take();
    for (auto& [field, entry] : effects.entries) {
      if (entry) {
        EXPECT_EQ(entry_field(*entry), field);
        entries_.insert_or_assign(field, *entry);
      } else {
        entries_.erase(field);
      }
    }
    for (auto& [field, asker] : effects.askers) {
      if (asker) askers_.insert_or_assign(field, *asker);
      else askers_.erase(field);
    }
    counts_.add(effects.counts);
    for (const CacheAnswer& answer : effects.answers) {
      std::string text = std::to_string(answer.run.value);
      text += answer.kind == Kind::kTake ? " take" : answer.kind == Kind::kCompute ? " compute" : " there";
      if (answer.kind == Kind::kCompute && answer.has_value) text += " old";
      if (answer.has_value) text += answer.value.is_inline() ? " " + std::string(answer.value.json()) : " large";
      said_.push_back(std::move(text));
    }
  }

  CacheHome home_;
  Time now_ = from_us(1'000'000'000'000);
  std::map<std::string, CacheEntry> entries_;
  std::map<std::string, CacheAsker> askers_;
  std::vector<std::string> said_;
  CacheCounts counts_;
  int answers_max_ = 1'000'000;
};

using Said = std::vector<std::string>;

TEST(CacheHome, LetsTheFirstWhoAsksComputeAndGivesItsValueToTheOthersInTheirOrder) {
  Home h;
  h.ask(1).ask(3).ask(2);
  EXPECT_EQ(h.said(), Said{"1 compute"});
  EXPECT_EQ(h.askers(), 3U);
  h.give(1, "5");
  EXPECT_EQ(h.said(), (Said{"3 take 5", "2 take 5"}));
  EXPECT_EQ(h.askers(), 0U);
  h.ask(4);
  EXPECT_EQ(h.said(), Said{"4 take 5"});
  EXPECT_EQ(h.askers(), 0U);
}

TEST(CacheHome, CountsWhatThoseWhoAskAreToldAtOnce) {
  Home h;
  h.ask(1).ask(2).ask(3).ask(3);
  EXPECT_EQ(h.counts(), "0 1 2") << "to ask again is no other request";
  h.leave(1);
  EXPECT_EQ(h.counts(), "0 1 2") << "one that has waited computes";
  h.give(2, "5").ask(4).ask(5, "other");
  EXPECT_EQ(h.counts(), "1 2 2");
}

TEST(CacheHome, LetsTheNextComputeWhenWhoComputedLeavesWithoutAValue) {
  Home h;
  h.ask(1).ask(2).ask(3).leave(2).leave(1);
  EXPECT_EQ(h.said(), (Said{"1 compute", "3 compute"}));
  h.leave(3);
  EXPECT_EQ(h.askers(), 0U);
  h.leave(3).leave(9);
  EXPECT_EQ(h.said(), Said{});
  h.ask(4);
  EXPECT_EQ(h.said(), Said{"4 compute"});
}

TEST(CacheHome, AnswersWhoAsksAgainAndLooksWhetherWhoComputesIsThere) {
  Home h;
  h.ask(1).ask(2).ask(1).ask(2);
  EXPECT_EQ(h.said(), (Said{"1 compute", "1 compute", "1 there"}));
  EXPECT_EQ(h.askers(), 2U);
}

TEST(CacheHome, TakesAValueOfWhoIsNotToComputeIt) {
  Home h;
  h.ask(1).ask(2);
  (void)h.said();
  h.give(7, "5");
  EXPECT_EQ(h.said(), Said{"2 take 5"});
  EXPECT_EQ(h.askers(), 1U) << "who computes goes on";
  h.give(1, "6").ask(3);
  EXPECT_EQ(h.said(), Said{"3 take 6"});
  EXPECT_EQ(h.entries(), 1U);
}

TEST(CacheHome, GivesNoValueThatIsOlderThanWhoAsksWants) {
  Home h;
  h.ask(1).give(1, "5").pass(10min).ask(2, "k", 10min).ask(3, "k", 11min);
  EXPECT_EQ(h.said(), (Said{"1 compute", "2 compute", "3 take 5"}));
}

TEST(CacheHome, TellsOfAnOldValueWhoWantsItAndForgetsItADayBehindItsTime) {
  Home h;
  h.ask(1).give(1, "5").pass(2h).ask(2, "k", 1h, true).ask(3, "k", 1h).leave(2).leave(3);
  EXPECT_EQ(h.said(), (Said{"1 compute", "2 compute old 5", "3 compute"}));
  EXPECT_EQ(h.home().next_expiry(), h.now() - 2h + 1h + kCacheOldFor);
  h.pass(kCacheOldFor - 1h - 1us).ask(4, "k", 1h, true).leave(4);
  EXPECT_EQ(h.said(), Said{"4 compute old 5"});
  h.pass(1us);
  EXPECT_EQ(h.entries(), 0U);
  EXPECT_EQ(h.home().next_expiry(), kNever);
}

TEST(CacheHome, KeepsKeysAndTenantsApart) {
  Home h;
  h.ask(1, "k").ask(2, "other").ask(3, "k", 1h, false, "acme").give(1, "5").ask(4, "k", 1h, true, "acme");
  EXPECT_EQ(h.said(), (Said{"1 compute", "2 compute", "3 compute"}));
}

TEST(CacheHome, DropsWhatNobodyTookForLongestWhenThereIsTooMuch) {
  Home h;
  for (std::uint64_t i = 0; i < kCacheEntriesMax; ++i) h.give(1, "1", std::to_string(i));
  h.ask(1, "0");
  EXPECT_EQ(h.entries(), kCacheEntriesMax);
  h.give(1, "1", "one more");
  EXPECT_EQ(h.entries(), kCacheEntriesMax);
  (void)h.said();
  h.ask(1, "0").ask(1, "1");
  EXPECT_EQ(h.said(), (Said{"1 take 1", "1 compute"}));
}

TEST(CacheHome, CountsBytesOfValuesThatAreInlineAndOfThoseByReferenceApart) {
  Home h;
  h.give_large(1, kCacheReferencedMax / 2, "a").give_large(1, kCacheReferencedMax / 2, "b").give(1, "1", "c");
  EXPECT_EQ(h.entries(), 3U);
  h.give_large(1, 1, "d");
  EXPECT_EQ(h.entries(), 3U) << "the oldest has gone";
  h.give_large(1, kCacheReferencedMax, "e");
  EXPECT_EQ(h.entries(), 2U) << "what is inline is not counted with it";
  h.ask(2, "big").ask(3, "big");
  (void)h.said();
  h.give_large(2, kCacheReferencedMax + 1, "big");
  EXPECT_EQ(h.said(), Said{"3 take large"}) << "who waited gets what is too large to be kept";
  h.ask(4, "big");
  EXPECT_EQ(h.said(), Said{"4 compute"});
}

TEST(CacheHome, GoesOnAfterARestartWhereItWas) {
  Home h;
  h.ask(1).ask(2).ask(3).restart();
  EXPECT_EQ(h.said(), Said{"1 compute"});
  h.leave(1).restart().ask(2);
  EXPECT_EQ(h.said(), (Said{"2 compute", "2 compute"}));
  h.give(2, "5").restart().ask(4);
  EXPECT_EQ(h.said(), (Said{"3 take 5", "4 take 5"}));
}

TEST(CacheHome, AnswersAfterARestartWhoWasNotYetAnswered) {
  Home h;
  h.ask(1).ask(2).ask(3).answer_at_most(1).give(1, "5");
  EXPECT_EQ(h.said(), (Said{"1 compute", "2 take 5"}));
  h.answer_at_most(0).restart().answer_at_most(9).go_on();
  EXPECT_EQ(h.said(), Said{"3 take 5"});
}

TEST(CacheHome, TakesAValueOfAClockThatWasAheadAsOneOfNow) {
  Home h;
  h.ask(1).give(1, "5").restart(48h).pass(59min).ask(2).pass(1min).ask(3);
  EXPECT_EQ(h.said(), (Said{"1 compute", "2 take 5", "3 compute"}));
}

}  // namespace
}  // namespace millrace
