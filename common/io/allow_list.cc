#include "common/io/allow_list.h"

#include <algorithm>

#include "common/io/small_file.h"

namespace millrace {
namespace {

constexpr std::string_view kIds = "ids=";
constexpr std::size_t kIdMax = 256;
constexpr std::size_t kProblemsMax = 20;
constexpr const char* kLineForm = "ROLE NAME PUBLIC-KEY [ids=PATTERN,...]";
constexpr const char* kHeader =
    "# Millrace allow-list: who may connect. ROLE NAME PUBLIC-KEY [ids=PATTERN,...]; see docs/security.md.";

std::optional<std::string> take_ids(std::string_view text, std::vector<std::string>& ids) {
  if (!text.starts_with(kIds)) return "unknown word after the key";
  text.remove_prefix(kIds.size());
  for (bool more = true; more;) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view one = text.substr(0, comma);
    more = comma < text.size();
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (!is_id_pattern(one)) return "not a pattern of worker ids";
    ids.emplace_back(one);
  }
  if (ids.size() > kIdPatternsMax) return "more than " + std::to_string(kIdPatternsMax) + " patterns";
  return std::nullopt;
}

std::optional<std::string> read_line(const std::vector<std::string_view>& words, AllowedKey& key) {
  if (words.size() < 3 || words.size() > 4) return std::to_string(words.size()) + " words";
  const std::optional<Role> role = parse_role(words[0]);
  if (!role) return "no such role";
  if (!is_key_name(words[1])) return "not a name";
  if (!is_curve_key(words[2])) return "not a public key";
  key.key = {std::string(words[1]), *role, std::string(words[2])};
  if (words.size() == 3) return std::nullopt;
  if (*role != Role::kWorker) return "ids= is for workers";
  return take_ids(words[3], key.ids);
}

std::string line_of(const AllowedKey& key) {
  auto padded = [](std::string text, std::size_t width) {
    if (text.size() < width) text.append(width - text.size(), ' ');
    return text;
  };
  std::string line = padded(to_string(key.key.role), 11) + " " + padded(key.key.name, 15) + " " + key.key.public_key;
  for (std::size_t i = 0; i < key.ids.size(); ++i) line += (i == 0 ? " ids=" : ",") + key.ids[i];
  return line;
}

}  // namespace

bool is_id_pattern(std::string_view text) {
  if (text.empty() || text.size() > kIdMax) return false;
  const std::size_t star = text.find('*');
  if (star != std::string_view::npos && star + 1 != text.size()) return false;
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f' && c != ','; });
}

bool may_have_id(const AllowedKey& key, std::string_view id) {
  if (key.ids.empty()) return true;
  return std::ranges::any_of(key.ids, [&](std::string_view pattern) {
    if (!pattern.ends_with('*')) return id == pattern;
    return id.starts_with(pattern.substr(0, pattern.size() - 1));
  });
}

Result<AllowList> AllowList::parse(std::string_view text, const std::string& path) {
  AllowList list;
  std::vector<Problem> problems;
  std::map<std::string, Role, std::less<>> roles;  // by name
  for (int number = 1; !text.empty() && problems.size() < kProblemsMax; ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::vector<std::string_view> words = words_of(line);
    AllowedKey key;
    std::optional<std::string> complaint;
    if (!words.empty() && !words[0].starts_with('#')) {
      complaint = read_line(words, key);
      if (!complaint && list.by_key_.contains(key.key.public_key)) complaint = "this key stands in a line above";
      if (!complaint && roles.try_emplace(key.key.name, key.key.role).first->second != key.key.role) {
        complaint = "'" + key.key.name + "' has another role in a line above";
      }
    }
    if (complaint) {
      problems.push_back({path, number, 0, *complaint, kLineForm, ""});
      continue;
    }
    list.lines_.push_back({std::string(line), key.key.public_key});
    if (key.key.public_key.empty()) continue;
    list.by_key_.emplace(key.key.public_key, list.keys_.size());
    list.keys_.push_back(std::move(key));
  }
  if (problems.empty()) return list;
  const Problem& first = problems[0];
  std::string what = path + ":" + std::to_string(first.line) + ": " + first.message + "; expected " + first.expected;
  return Error{Code::kInvalid, std::move(what), std::move(problems), "allow_list"};
}

Result<AllowList> AllowList::read(const std::string& path) {
  Result<std::string> text = read_small_file(path, kAllowListBytesMax);
  if (!text.ok()) return text.error();
  return parse(*text, path);
}

std::string AllowList::text() const {
  std::string out;
  for (const Line& line : lines_) out += line.text + "\n";
  return out;
}

const AllowedKey* AllowList::find(std::string_view public_key) const {
  const auto at = by_key_.find(public_key);
  return at == by_key_.end() ? nullptr : &keys_[at->second];
}

Status AllowList::add(const AllowedKey& key, bool rotation) {
  const NamedKey& wanted = key.key;
  if (const AllowedKey* known = find(wanted.public_key)) {
    if (*known == key) return Done{};
    return Error{Code::kConflict,
                 "this key is authorized already, as " + std::string(to_string(known->key.role)) + " " +
                     known->key.name + "; revoke it first",
                 {},
                 "key_known"};
  }
  for (const AllowedKey& other : keys_) {
    if (other.key.name != wanted.name || (rotation && other.key.role == wanted.role)) continue;
    return Error{Code::kConflict,
                 std::string(to_string(other.key.role)) + " " + wanted.name +
                     " has another key; revoke it, or say --rotate to let both in for a while (of the same role)",
                 {},
                 "name_taken"};
  }
  if (lines_.empty()) lines_.push_back({kHeader, ""});
  lines_.push_back({line_of(key), wanted.public_key});
  keys_.push_back(key);
  index();
  return Done{};
}

std::vector<AllowedKey> AllowList::remove(std::string_view name_or_key) {
  std::vector<AllowedKey> removed;
  std::erase_if(keys_, [&](const AllowedKey& one) {
    if (one.key.name != name_or_key && one.key.public_key != name_or_key) return false;
    std::erase_if(lines_, [&](const Line& line) { return line.public_key == one.key.public_key; });
    removed.push_back(one);
    return true;
  });
  index();
  return removed;
}

void AllowList::index() {
  by_key_.clear();
  for (std::size_t i = 0; i < keys_.size(); ++i) by_key_.emplace(keys_[i].key.public_key, i);
}

Status change_allow_list(const std::string& path, bool create, const std::function<Status(AllowList&)>& change) {
  const DirectoryLock lock(path);
  Result<AllowList> list = AllowList::read(path);
  if (!list.ok() && create && list.error().code == Code::kNotFound) list = AllowList();
  if (!list.ok()) return list.error();
  const std::string before = list->text();
  if (Status changed = change(*list); !changed.ok()) return changed;
  const std::string after = list->text();
  return after == before ? Status(Done{}) : write_private_file(path, after, true);
}

}  // namespace millrace
