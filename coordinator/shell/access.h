// Access: who may speak to this coordinator: the allow-list, the handshakes that it answers, what each key may do, and
// which worker ids belong to whom.
//
// Promises: a key that the list does not have (any more) connects to nothing, and nothing it still sends is heard. The
// list is read again when its file changes (looked at every kListLookEvery) or reload() is called; a list that cannot
// be read leaves the old one in force and says so. Every refusal is counted; each peer and reason is logged at most
// once in kRefusalLogEvery. A worker id belongs to the owner of the key that said Hello under it first, for as long as
// that owner has a key in the list; an owner is a name of the list, so its key may be exchanged. The coordinator's own
// key has the role coordinator. Bounded. Threads: the coordinator's. Fails: open() says which file and line.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/io/allow_list.h"
#include "common/io/connection_watch.h"
#include "common/io/small_file.h"
#include "common/io/zap.h"
#include "coordinator/shell/ports.h"
#include "coordinator/shell/roles.h"

namespace millrace {

// What a peer was refused for; a bounded set of words for metrics.
enum class RefusedPeer : std::uint8_t { kUnknownKey, kRole, kRevoked, kWorkerId, kNoKey, kWrongServerKey, kBrokenOff };
constexpr std::size_t kRefusedPeers = 7;
using PeersRefused = std::array<std::uint64_t, kRefusedPeers>;
const char* to_string(RefusedPeer reason);  // "unknown_key" ...

constexpr Duration kListLookEvery = 500ms;
constexpr Duration kRefusalLogEvery = 60s;

class Access {
 public:
  static constexpr std::size_t kIdsMax = 10'000;  // of one owner; beyond it the oldest is forgotten

  // `key_file`: this coordinator's secret key; `list_file`: the allow-list.
  static Result<std::unique_ptr<Access>> open(ZmqContext& context, const Clock& clock, const std::string& key_file,
                                              const std::string& list_file);

  CurveServer server(Door door) const { return {key_.secret, to_string(door)}; }
  // For lines to other coordinators: those of a cluster share one key.
  CurveClient client() const { return {{key_.key.public_key, key_.secret}, key_.key.public_key}; }
  const std::string& public_key() const { return key_.key.public_key; }
  const ZmqSocket& socket() const { return zap_; }  // readable: a handshake waits for pass()

  void pass();    // answers handshakes; looks at the list when it is time
  void reload();  // at once
  // Grows when a key that could hear events is taken off the list: whoever is subscribed must connect anew.
  std::uint64_t hearers_revoked() const { return hearers_revoked_; }

  // Errors: kRefused, "key_revoked" or "role_refused". `user` is the peer's public key (Frames::user_id).
  Status may_say(std::string_view user, FrameKind kind);
  bool is_in(std::string_view user) const { return find(user) != nullptr; }
  std::string owner_of(std::string_view user) const;  // the name of the list; empty: not in it
  // A Hello under this id. Errors: kRefused, "id_in_use" (another owner's) or "id_not_allowed" (ids= of its key).
  Status claim_id(std::string_view user, const std::string& id);

  void hear(ConnectionWatch& watch, Door door);  // handshakes that failed before any key was shown
  std::uint64_t refused() const { return refused_; }
  const PeersRefused& refused_for() const { return refused_for_; }  // by RefusedPeer

 private:
  struct RefusalNote {
    Time logged{};
    std::uint64_t count = 0;  // since then
  };
  struct Ids {
    std::deque<std::string> in_order;
  };

  Access(ZmqContext& context, const Clock& clock, KeyFile key, std::string list_file);
  Status read_list(bool first);
  const AllowedKey* find(std::string_view user) const;
  bool decide(const ZapQuestion& question);
  void refuse(RefusedPeer kind, const std::string& reason, std::string_view who, std::string_view where);
  bool has_key(const std::string& owner) const;

  const Clock& clock_;
  KeyFile key_;
  AllowedKey self_;
  std::string list_file_;
  FileMark list_mark_;
  AllowList list_;
  Time look_at_{};
  ZapHandler zap_;
  std::map<std::string, std::string> owners_;  // of worker ids
  std::map<std::string, Ids> ids_;             // by owner
  std::map<std::string, RefusalNote> notes_;   // by reason and peer
  std::uint64_t refused_ = 0;
  PeersRefused refused_for_{};
  std::uint64_t hearers_revoked_ = 0;
};

}  // namespace millrace
