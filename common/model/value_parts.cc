#include "common/model/value_parts.h"

#include <algorithm>

#include "common/model/payload.h"

namespace millrace {
namespace {

constexpr Duration kQuick = 150ms;
constexpr Duration kSlow = 1s;

}  // namespace

std::uint64_t part_check(const Hash128& hash, std::uint64_t from, std::string_view bytes) {
  const std::uint64_t check = hash64(bytes, hash.low ^ from);
  return check == 0 ? 1 : check;
}

void PartPace::came(Duration took) {
  if (took < kQuick) bytes_ = std::min(bytes_ * 2, kPartMax);
  else if (took > kSlow) bytes_ = std::max(bytes_ / 2, kPartMin);
}

void PartsIn::had(std::string_view bytes) {
  sum_.add(bytes);
  from_ += bytes.size();
}

PartsIn::Took PartsIn::end() {
  if (sum_.sum128() == hash_) return Took::kWhole;
  sum_ = HashStream();
  from_ = 0;
  return Took::kDamaged;
}

PartsIn::Took PartsIn::take(const PartPlace& place, std::string_view bytes) {
  if (place.check == 0) {
    sum_ = HashStream();
    from_ = 0;
    had(bytes);
    return end();
  }
  if (place.from != from_ || place.check != part_check(hash_, place.from, bytes)) return Took::kOther;
  if (place.size > kValueMax || place.from > place.size || bytes.size() > place.size - place.from) {
    sum_ = HashStream();
    from_ = 0;
    return Took::kDamaged;
  }
  had(bytes);
  if (from_ == place.size) return end();
  return bytes.empty() ? Took::kOther : Took::kMore;
}

}  // namespace millrace
