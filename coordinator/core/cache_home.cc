#include "coordinator/core/cache_home.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr Duration kTtlHeeded = 24h * 3660;  // a longer one is for ever

Hash128 content_of(const Payload& value) { return value.is_reference() ? value.hash() : hash128(value.json()); }

}  // namespace

std::string entry_field(const CacheEntry& entry) {
  return to_string(entry.name.key) + to_string(content_of(entry.value)) + entry.name.tenant;
}

std::string asker_field(const CacheAsker& asker) {
  return to_string(asker.name.key) + to_string(asker.run) + std::to_string(asker.task.value) + '/' + asker.name.tenant;
}

// ---------------------------------------------------------------- who asks

void CacheHome::asked(Time now, const CacheName& name, RunId run, TaskIndex task, Duration ttl, bool wants_old) {
  Line& line = lines_[name];
  if (const auto known = line.by_task.find({run, task}); known != line.by_task.end()) {
    const CacheAsker& asker = line.askers.at(known->second);
    if (asker.computes) return tell_to_compute(asker);
    if (line.computing == 0) return next_computes(line);
    const CacheAsker& other = line.askers.at(line.computing);
    return effects_.answers.push_back({name, other.run, other.task, CacheAnswer::Kind::kThere, false, {}});
  }
  if (const auto found = entries_.find(name); found != entries_.end() && now - found->second.entry.made < ttl) {
    touch(found->second);
    ++effects_.counts.hits;
    effects_.answers.push_back({name, run, task, CacheAnswer::Kind::kTake, true, found->second.entry.value});
    if (line.askers.empty()) lines_.erase(name);
    return;
  }
  add(line, {name, run, task, ++asked_, now, false, wants_old});
  next_computes(line);
  ++(line.computing == asked_ ? effects_.counts.misses : effects_.counts.waits);
}

void CacheHome::given(Time now, const CacheName& name, RunId run, TaskIndex task, Duration ttl, Payload value) {
  keep({name, value, now, ttl});
  const auto found = lines_.find(name);
  if (found == lines_.end()) return;
  Line& line = found->second;
  line.given = std::move(value);
  answering_.insert(name);
  if (const auto giver = line.by_task.find({run, task}); giver != line.by_task.end()) remove(name, line, giver->second);
}

void CacheHome::left(Time, const CacheName& name, RunId run, TaskIndex task) {
  const auto found = lines_.find(name);
  if (found == lines_.end()) return;
  Line& line = found->second;
  const auto asker = line.by_task.find({run, task});
  if (asker == line.by_task.end()) return;
  remove(name, line, asker->second);
  if (const auto still = lines_.find(name); still != lines_.end()) next_computes(still->second);
}

void CacheHome::answer_one() {
  const CacheName name = *answering_.begin();
  const auto found = lines_.find(name);
  if (found != lines_.end()) {
    Line& line = found->second;
    auto next = line.askers.begin();
    if (next->first == line.computing) ++next;
    if (next != line.askers.end()) {
      const CacheAsker& asker = next->second;
      effects_.answers.push_back({name, asker.run, asker.task, CacheAnswer::Kind::kTake, true, *line.given});
      return remove(name, line, next->first);
    }
    line.given.reset();
  }
  answering_.erase(name);
}

void CacheHome::add(Line& line, CacheAsker asker) {
  line.by_task[{asker.run, asker.task}] = asker.number;
  effects_.askers[asker_field(asker)] = asker;
  const std::uint64_t number = asker.number;
  line.askers.emplace(number, std::move(asker));
  ++askers_count_;
}

void CacheHome::remove(const CacheName& name, Line& line, std::uint64_t number) {
  const auto asker = line.askers.find(number);
  effects_.askers[asker_field(asker->second)].reset();
  line.by_task.erase({asker->second.run, asker->second.task});
  line.askers.erase(asker);
  if (line.computing == number) line.computing = 0;
  --askers_count_;
  if (!line.askers.empty()) return;
  lines_.erase(name);
  answering_.erase(CacheName(name));
}

void CacheHome::next_computes(Line& line) {
  if (line.given || line.computing != 0 || line.askers.empty()) return;
  CacheAsker& next = line.askers.begin()->second;
  next.computes = true;
  line.computing = next.number;
  effects_.askers[asker_field(next)] = next;
  tell_to_compute(next);
}

void CacheHome::tell_to_compute(const CacheAsker& asker) {
  CacheAnswer answer{asker.name, asker.run, asker.task, CacheAnswer::Kind::kCompute, false, {}};
  if (const auto old = entries_.find(asker.name); asker.wants_old && old != entries_.end()) {
    answer.has_value = true;
    answer.value = old->second.entry.value;
  }
  effects_.answers.push_back(std::move(answer));
}

// ---------------------------------------------------------------- values

void CacheHome::keep(CacheEntry entry) {
  const CacheName name = entry.name;
  drop(name);
  const std::uint64_t most = entry.value.is_reference() ? kCacheReferencedMax : kCacheInlineMax;
  if (entry.value.size() > most) return;
  effects_.entries[entry_field(entry)] = entry;
  restore(entry.made, std::move(entry));
  make_room();
}

void CacheHome::drop(const CacheName& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  const Kept& kept = found->second;
  effects_.entries[entry_field(kept.entry)].reset();
  Share& share = share_of(kept.entry.value);
  share.bytes -= kept.entry.value.size();
  share.by_use.erase(kept.used);
  by_end_.erase({kept.ends, name});
  entries_.erase(found);
}

void CacheHome::touch(Kept& kept) {
  Share& share = share_of(kept.entry.value);
  share.by_use.erase(kept.used);
  kept.used = ++uses_;
  share.by_use.emplace(kept.used, kept.entry.name);
}

void CacheHome::make_room() {
  const auto drop_oldest = [&](const Share& share) { drop(CacheName(share.by_use.begin()->second)); };
  while (inline_.bytes > kCacheInlineMax) drop_oldest(inline_);
  while (referenced_.bytes > kCacheReferencedMax) drop_oldest(referenced_);
  while (entries_.size() > kCacheEntriesMax) {
    const auto oldest = [](const Share& share) {
      return share.by_use.empty() ? UINT64_MAX : share.by_use.begin()->first;
    };
    drop_oldest(oldest(inline_) < oldest(referenced_) ? inline_ : referenced_);
  }
}

void CacheHome::expire(Time now) {
  while (!by_end_.empty() && by_end_.begin()->first <= now) drop(CacheName(by_end_.begin()->second));
}

Time CacheHome::next_expiry() const { return by_end_.empty() ? kNever : by_end_.begin()->first; }

// ---------------------------------------------------------------- from the store

// Whoever wrote it may have a clock far ahead of ours: then it is from now.
void CacheHome::restore(Time now, CacheEntry entry) {
  entry.made = std::min(entry.made, now);
  const CacheName name = entry.name;
  if (const auto known = entries_.find(name); known != entries_.end()) {
    if (entry.made < known->second.entry.made) return;
    drop(name);
  }
  Share& share = share_of(entry.value);
  share.bytes += entry.value.size();
  Kept& kept = entries_[name];
  kept.ends = entry.made + std::min(entry.ttl, kTtlHeeded) + kCacheOldFor;
  kept.entry = std::move(entry);
  kept.used = ++uses_;
  share.by_use.emplace(kept.used, name);
  by_end_.emplace(kept.ends, name);
}

void CacheHome::restore(CacheAsker asker) {
  Line& line = lines_[asker.name];
  if (line.by_task.contains({asker.run, asker.task})) return;  // a page may tell it twice
  asked_ = std::max(asked_, asker.number);
  if (asker.computes) line.computing = asker.number;
  line.by_task[{asker.run, asker.task}] = asker.number;
  line.askers.emplace(asker.number, std::move(asker));
  ++askers_count_;
}

// Where nobody computes somebody was given the value and not all were told, or it was not kept.
void CacheHome::restored() {
  std::vector<Kept*> by_age;
  for (auto& [name, kept] : entries_) by_age.push_back(&kept);
  std::ranges::stable_sort(by_age, {}, [](const Kept* kept) { return kept->entry.made; });
  for (Kept* kept : by_age) touch(*kept);
  for (auto& [name, line] : lines_) {
    const auto entry = entries_.find(name);
    if (line.computing == 0 && entry != entries_.end() &&
        entry->second.entry.made >= line.askers.begin()->second.asked) {
      line.given = entry->second.entry.value;
      answering_.insert(name);
    } else {
      next_computes(line);
    }
  }
}

}  // namespace millrace
