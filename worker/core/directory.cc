#include "worker/core/directory.h"

#include <algorithm>

namespace millrace {

std::vector<Directory::Change> Directory::begin(Time now) {
  std::vector<Change> out;
  for (const std::string& endpoint : given_) open(now, endpoint, out);
  return out;
}

std::vector<Directory::Change> Directory::heard(Time now, LinkId id, const CoordinatorMessage& message) {
  std::vector<Change> out;
  if (!is_open(id)) return out;
  Link& link = *links_[id.value];
  link.heard = now;
  const auto* welcome = std::get_if<WorkerWelcome>(&message);
  const auto* news = welcome != nullptr ? &welcome->news : std::get_if<ClusterNews>(&message);
  if (welcome != nullptr) link.name = welcome->coordinator;
  if (news == nullptr || news->members.empty()) return out;
  link.spoke = true;
  link.members = news->members;
  update(now, out);
  return out;
}

// Nobody answers any more: perhaps they all have new addresses, which those that were given lead to.
std::vector<Directory::Change> Directory::pass(Time now) {
  std::vector<Change> out;
  const bool heard = std::ranges::any_of(links_, [&](const auto& l) { return l && now < l->heard + kNobodyAnswers; });
  if (heard) return out;
  for (const std::string& endpoint : given_) open(now, endpoint, out);
  return out;
}

void Directory::open(Time now, const std::string& endpoint, std::vector<Change>& out) {
  if (endpoint.empty()) return;
  std::size_t free = links_.size();
  for (std::size_t i = links_.size(); i-- > 0;) {
    if (!links_[i]) free = i;
    else if (links_[i]->endpoint == endpoint) return;
  }
  if (free == kLinksKept) return;
  if (free == links_.size()) links_.emplace_back();
  links_[free] = Link{endpoint, "", now, false, {}};
  out.push_back({LinkId{static_cast<std::uint32_t>(free)}, endpoint, true});
}

void Directory::close(std::size_t link, std::vector<Change>& out) {
  out.push_back({LinkId{static_cast<std::uint32_t>(link)}, links_[link]->endpoint, false});
  links_[link].reset();
}

void Directory::update(Time now, std::vector<Change>& out) {
  std::vector<std::string> wanted;
  for (const auto& link : links_) {
    if (!link || !in_use(now, *link)) continue;
    for (const MemberAddress& member : link->members) wanted.push_back(member.endpoint);
  }
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (!links_[i]) continue;
    const Link& link = *links_[i];
    bool alone = true;
    bool named = false;
    for (std::size_t j = 0; j < links_.size(); ++j) {
      if (j == i || !links_[j] || !in_use(now, *links_[j])) continue;
      alone = false;
      named |= std::ranges::any_of(links_[j]->members, [&](const MemberAddress& member) {
        return member.endpoint == link.endpoint || (!link.name.empty() && member.name == link.name);
      });
    }
    const bool given = std::ranges::find(given_, link.endpoint) != given_.end();
    if (alone || named || in_use(now, link)) continue;
    if (given && !link.spoke) continue;  // an address that has not answered yet is still tried
    close(i, out);
    std::erase(wanted, out.back().endpoint);
  }
  for (const std::string& endpoint : wanted) open(now, endpoint, out);
  close_doubles(out);
}

void Directory::close_doubles(std::vector<Change>& out) {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (!links_[i] || links_[i]->name.empty()) continue;
    const auto own = std::ranges::find(links_[i]->members, links_[i]->name, &MemberAddress::name);
    if (own == links_[i]->members.end() || own->endpoint == links_[i]->endpoint) continue;
    const bool there = std::ranges::any_of(links_, [&](const auto& other) {
      return other && other->endpoint == own->endpoint && other->name == links_[i]->name;
    });
    if (there) close(i, out);
  }
}

}  // namespace millrace
