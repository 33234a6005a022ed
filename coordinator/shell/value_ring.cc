#include "coordinator/shell/value_ring.h"

#include <utility>

namespace millrace {

ValueRing::Value& ValueRing::at(Time now, const Hash128& hash) {
  Value& value = values_[hash];
  value.hash = hash;
  value.at = now;
  order_.emplace_back(now, hash);
  return value;
}

void ValueRing::set_bytes(Value& value, std::shared_ptr<const std::string> all, std::string parts) {
  bytes_ -= value.bytes().size();
  value.all = std::move(all);
  value.parts = std::move(parts);
  bytes_ += value.bytes().size();
}

void ValueRing::wrote(Time now, const ValueWrite& write) {
  if (write.run == RunId{}) return;  // it came from a run, which wrote it
  Value& value = at(now, write.hash);
  value.run = write.run;
  value.size = write.json->size();
  value.kept = true;
  set_bytes(value, write.json, "");
  make_room(now);
}

void ValueRing::took(Time now, RunId run, std::uint64_t size, std::uint64_t from, std::string_view part,
                     const PartTaken& taken) {
  if (taken.damaged) return forget(taken.hash);
  Value& value = at(now, taken.hash);
  value.run = run;
  value.size = size;
  value.kept |= taken.kept;
  if (value.all == nullptr && value.parts.size() == from && from + part.size() <= size) {
    value.parts.append(part);
    bytes_ += part.size();
  }
  make_room(now);
}

std::vector<Hash128> ValueRing::recent(Time now) {
  make_room(now);
  std::vector<Hash128> hashes;
  for (const auto& [hash, value] : values_) {
    if (value.kept) hashes.push_back(hash);
  }
  return hashes;
}

const ValueRing::Value* ValueRing::find(const Hash128& hash) const {
  const auto found = values_.find(hash);
  return found == values_.end() ? nullptr : &found->second;
}

void ValueRing::forget(const Hash128& hash) {
  const auto found = values_.find(hash);
  if (found == values_.end()) return;
  set_bytes(found->second, nullptr, "");
  values_.erase(found);
}

void ValueRing::make_room(Time now) {
  const auto is_latest = [&](const std::pair<Time, Hash128>& entry) {
    const Value* value = find(entry.second);
    return value != nullptr && value->at == entry.first;
  };
  while (!order_.empty() && (order_.front().first + kValuesKeptFor < now || order_.size() > kValuesKeptMax)) {
    if (is_latest(order_.front())) forget(order_.front().second);
    order_.pop_front();
  }
  for (auto entry = order_.begin(); entry != order_.end() && bytes_ > kValuesKeptBytes; ++entry) {
    if (is_latest(*entry)) set_bytes(values_.at(entry->second), nullptr, "");
  }
}

}  // namespace millrace
