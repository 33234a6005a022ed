// AllowList: who may connect. One key a line: its role, the name of its owner, the public key; `ids=` may follow for
// workers and says under which ids (`--id`) they may come, `*` at the end of one standing for any end.
//
//     # ROLE       NAME     PUBLIC KEY                                [ids=PATTERN,...]
//     worker       w1       rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7
//     worker       gpu      Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID  ids=gpu-*
//     operator     alice    ...
//
// A name may stand in several lines of one role while its key is being exchanged (rotation): all are the same owner. A
// key stands in one line only. Promises: keeps comments and order when lines are added and taken away. Bounded by
// kAllowListBytesMax. Threads: a plain value. Fails: kInvalid with file:line for each problem; kConflict for a key or a
// name that is taken.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/io/curve.h"

namespace millrace {

constexpr std::size_t kAllowListBytesMax = 4 * 1024 * 1024;
constexpr std::size_t kIdPatternsMax = 64;  // of one key

struct AllowedKey {
  NamedKey key;
  std::vector<std::string> ids;  // patterns; empty: any id
  bool operator==(const AllowedKey&) const = default;
};

class AllowList {
 public:
  static Result<AllowList> parse(std::string_view text, const std::string& path);
  static Result<AllowList> read(const std::string& path);
  std::string text() const;

  const AllowedKey* find(std::string_view public_key) const;  // a loan until the list changes
  const std::vector<AllowedKey>& keys() const { return keys_; }

  // kConflict, "key_known" where the key stands there already (with another name or role), "name_taken" where another
  // key has its name, unless that is a rotation. The same line again changes nothing.
  Status add(const AllowedKey& key, bool rotation);
  // By name or by public key; those that were taken away.
  std::vector<AllowedKey> remove(std::string_view name_or_key);

 private:
  struct Line {
    std::string text;
    std::string public_key;  // empty: a comment
  };
  void index();

  std::vector<Line> lines_;
  std::vector<AllowedKey> keys_;
  std::map<std::string, std::size_t, std::less<>> by_key_;
};

bool may_have_id(const AllowedKey& key, std::string_view id);
bool is_id_pattern(std::string_view text);

// Reads, changes and writes the list as one step, other processes held off; an absent file is an empty list where
// `create` says so. Nothing is written when `change` fails.
Status change_allow_list(const std::string& path, bool create, const std::function<Status(AllowList&)>& change);

}  // namespace millrace
