#include "coordinator/shell/access.h"

#include <algorithm>
#include <utility>

#include "common/io/log.h"

namespace millrace {
namespace {

constexpr std::size_t kAnswersAtOnce = 64;  // handshakes between two turns of the loop
constexpr std::size_t kNotesMax = 1'000;

}  // namespace

const char* to_string(RefusedPeer reason) {
  constexpr const char* kWords[kRefusedPeers] = {
      "unknown_key", "role", "key_revoked", "worker_id", "no_key", "wrong_server_key", "handshake_broken_off"};
  return kWords[static_cast<std::size_t>(reason)];
}

Result<std::unique_ptr<Access>> Access::open(ZmqContext& context, const Clock& clock, const std::string& key_file,
                                             const std::string& list_file) {
  Result<KeyFile> key = read_secret_key_file(key_file);
  if (!key.ok()) return Error{Code::kInvalid, "--curve-key: " + key.error().what, {}, key.error().name};
  std::unique_ptr<Access> access(new Access(context, clock, std::move(key).value(), list_file));
  if (Status read = access->read_list(true); !read.ok()) {
    return Error{Code::kInvalid, "--curve-authorized: " + read.error().what, read.error().details, read.error().name};
  }
  if (Status opened = access->zap_.open(); !opened.ok()) return opened.error();
  return access;
}

Access::Access(ZmqContext& context, const Clock& clock, KeyFile key, std::string list_file)
    : clock_(clock),
      key_(std::move(key)),
      self_{key_.key, {}},
      list_file_(std::move(list_file)),
      look_at_(clock.now() + kListLookEvery),
      zap_(context, [this](const ZapQuestion& question) { return decide(question); }) {
  self_.key.role = Role::kCoordinator;
}

Status Access::read_list(bool first) {
  list_mark_ = mark_of(list_file_);  // before reading: what is written meanwhile is seen the next time
  Result<AllowList> read = AllowList::read(list_file_);
  if (!read.ok()) return read.error();
  const AllowList before = std::exchange(list_, std::move(read).value());
  if (first) {
    log_info("keys that may connect", {{"count", list_.keys().size()}, {"file", list_file_}});
    return Done{};
  }
  for (const AllowedKey& key : before.keys()) {
    const AllowedKey* now = find(key.key.public_key);
    if (now != nullptr && now->key.role == key.key.role) continue;
    log_info("key revoked", {{"name", key.key.name}, {"role", to_string(key.key.role)}});
    if (may_enter(key.key.role, Door::kEvents)) ++hearers_revoked_;
  }
  for (const AllowedKey& key : list_.keys()) {
    if (before.find(key.key.public_key) != nullptr) continue;
    log_info("key authorized", {{"name", key.key.name}, {"role", to_string(key.key.role)}});
  }
  return Done{};
}

void Access::reload() {
  look_at_ = clock_.now() + kListLookEvery;
  if (Status read = read_list(false); !read.ok()) {
    log_error("the allow-list cannot be read; the one before stays in force", {{"reason", read.error().what}});
  }
}

void Access::pass() {
  zap_.answer(kAnswersAtOnce);
  const Time now = clock_.now();
  if (now < look_at_) return;
  look_at_ = now + kListLookEvery;
  if (mark_of(list_file_) != list_mark_) reload();
}

const AllowedKey* Access::find(std::string_view user) const {
  return user == self_.key.public_key ? &self_ : list_.find(user);
}

std::string Access::owner_of(std::string_view user) const {
  const AllowedKey* known = find(user);
  return known == nullptr ? "" : known->key.name;
}

bool Access::decide(const ZapQuestion& question) {
  const AllowedKey* known = find(question.public_key);
  if (known == nullptr) {
    refuse(RefusedPeer::kUnknownKey, "unknown key", question.public_key, question.address);
    return false;
  }
  const Door door = question.domain == to_string(Door::kMain) ? Door::kMain : Door::kEvents;
  if (may_enter(known->key.role, door)) return true;
  refuse(RefusedPeer::kRole,
         std::string("a ") + to_string(known->key.role) + " has no business at the " + to_string(door) + " port",
         known->key.name, question.address);
  return false;
}

Status Access::may_say(std::string_view user, FrameKind kind) {
  const AllowedKey* known = find(user);
  if (known == nullptr) {
    refuse(RefusedPeer::kRevoked, "key revoked", user, "");
    return Error{Code::kRefused, "the key of this connection is not authorized any more", {}, "key_revoked"};
  }
  if (may_send(known->key.role, kind)) return Done{};
  const std::string what = std::string("a ") + to_string(kind) + " frame is " + who_may_send(kind) +
                           " to send; the key '" + known->key.name + "' has the role " + to_string(known->key.role);
  refuse(RefusedPeer::kRole, what, known->key.name, "");
  return Error{Code::kRefused, what, {}, "role_refused"};
}

bool Access::has_key(const std::string& owner) const {
  return std::ranges::any_of(list_.keys(), [&](const AllowedKey& key) { return key.key.name == owner; });
}

Status Access::claim_id(std::string_view user, const std::string& id) {
  const AllowedKey* known = find(user);
  if (known == nullptr) return Error{Code::kRefused, "the key is not authorized any more", {}, "key_revoked"};
  const std::string& owner = known->key.name;
  if (!may_have_id(*known, id)) {
    const std::string what = "the key '" + owner + "' may not have the worker id '" + id + "' (ids= in the allow-list)";
    refuse(RefusedPeer::kWorkerId, what, owner, "");
    return Error{Code::kRefused, what, {}, "id_not_allowed"};
  }
  auto [held, fresh] = owners_.try_emplace(id, owner);
  if (held->second == owner && !fresh) return Done{};
  if (!fresh && has_key(held->second)) {
    const std::string what = "worker id '" + id + "' belongs to the key '" + held->second + "'";
    refuse(RefusedPeer::kWorkerId, what, owner, "");
    return Error{Code::kRefused, what + "; give this worker another --id", {}, "id_in_use"};
  }
  held->second = owner;
  std::deque<std::string>& mine = ids_[owner].in_order;
  mine.push_back(id);
  if (mine.size() <= kIdsMax) return Done{};
  if (auto oldest = owners_.find(mine.front()); oldest != owners_.end() && oldest->second == owner)
    owners_.erase(oldest);
  mine.pop_front();
  return Done{};
}

void Access::hear(ConnectionWatch& watch, Door door) {
  while (const std::optional<Handshake> handshake = watch.next()) {
    switch (*handshake) {
      case Handshake::kDone:
      case Handshake::kRefused: break;  // decide() has said why
      case Handshake::kMechanism:
        refuse(RefusedPeer::kNoKey, "no key was shown", "a peer without CURVE", to_string(door));
        break;
      case Handshake::kCrypto:
        refuse(RefusedPeer::kWrongServerKey, "the handshake was not encrypted for our key",
               "a peer with another --curve-server-key", to_string(door));
        break;
      case Handshake::kBrokenOff:
        refuse(RefusedPeer::kBrokenOff, "the handshake was broken off", "a peer, without CURVE perhaps",
               to_string(door));
        break;
    }
  }
}

// Counted always, logged now and then.
void Access::refuse(RefusedPeer kind, const std::string& reason, std::string_view who, std::string_view where) {
  ++refused_;
  ++refused_for_[static_cast<std::size_t>(kind)];
  const Time now = clock_.now();
  if (notes_.size() >= kNotesMax) {
    std::erase_if(notes_, [&](const auto& one) { return now - one.second.logged >= kRefusalLogEvery; });
  }
  if (notes_.size() >= kNotesMax) return;
  auto [note, fresh] = notes_.try_emplace(reason + "\n" + std::string(who) + "\n" + std::string(where));
  ++note->second.count;
  if (!fresh && now - note->second.logged < kRefusalLogEvery) return;
  log_warn(
      "peer refused",
      {{"reason", reason}, {"who", who}, {"where", where}, {"times", note->second.count}, {"refused_total", refused_}});
  note->second = {now, 0};
}

}  // namespace millrace
