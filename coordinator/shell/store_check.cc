#include "coordinator/shell/store_check.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/model/composed.h"
#include "coordinator/shell/cache_codec.h"
#include "coordinator/shell/letter_codec.h"
#include "coordinator/shell/listing.h"
#include "coordinator/shell/packed_events.h"
#include "coordinator/shell/pause_codec.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_reads.h"
#include "coordinator/shell/redis_run.h"
#include "coordinator/shell/registry_codec.h"
#include "coordinator/shell/run_codec.h"
#include "coordinator/shell/trigger_codec.h"

namespace millrace {
namespace {

constexpr std::size_t kEntriesPage = 256;
constexpr std::size_t kRunsPage = 64;
constexpr std::size_t kFieldsPage = 1000;

class Checker {
 public:
  Checker(StoreLink& link, std::uint16_t partitions) : link_(link) { check_.partitions = partitions; }

  Result<StoreCheck> all() {
    const std::pair<const char*, const char*> kTypes[] = {
        {kMetaKey, "hash"}, {kFleetKey, "set"}, {kMembersKey, "hash"}};
    for (const auto& [key, type] : kTypes) {
      const Result<RedisReply> found = link_.ask(RedisCommand{"TYPE", key});
      if (!found.ok()) return found.error();
      if (found->text != type && found->text != "none")
        check_.findings.push_back({{}, "cluster", {}, key, wrong_type(found->text, type)});
    }
    if (Status done = find_runs("mr:{p*}:r:*"); !done.ok()) return done.error();
    for (std::uint16_t p = 0; p < check_.partitions; ++p) {
      id_ = PartitionId{p};
      if (Status done = partition(); !done.ok()) return done.error();
    }
    if (Status done = values(); !done.ok()) return done.error();
    return std::move(check_);
  }

  Result<StoreCheck> one(PartitionId partition) {
    id_ = partition;
    if (Status done = find_runs(key("r:*")); !done.ok()) return done.error();
    if (Status done = this->partition(); !done.ok()) return done.error();
    if (Status done = values(); !done.ok()) return done.error();
    return std::move(check_);
  }

 private:
  struct Told {  // by the event stream, of one run
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    bool gap = false;
  };

  std::string key(const char* what) const { return partition_key(id_, what); }
  void find(std::string kind, std::string key, std::string what, std::optional<RunId> run = {}, std::string entry = {},
            bool live = false) {
    check_.findings.push_back(
        {id_.value, std::move(kind), run, std::move(key), std::move(what), std::move(entry), live});
  }
  static std::string wrong_type(const std::string& is, const std::string& should) {
    return "is a " + is + ", not a " + should;
  }

  // All that there are, listed or not.
  Status find_runs(const std::string& pattern) {
    const Result<std::vector<std::string>> keys = link_.scan(pattern);
    if (!keys.ok()) return keys.error();
    for (const std::string& key : *keys) {
      const std::string_view id = std::string_view(key).substr(key.rfind(':') + 1);
      const std::optional<RunId> run = parse_run_id(id);
      if (run && run_key(*run) == key) stored_[partition_of(*run)].emplace_back(id);
    }
    return Done{};
  }

  Status partition() {
    told_.clear();
    definitions_.clear();
    seen_.clear();
    Result<bool> sound = types();
    if (!sound.ok()) return sound.error();
    if (!*sound) return Done{};
    const Result<OwnerRecord> owner = link_.owner(id_);
    if (!owner.ok()) return owner.error();
    number_ = owner->number;
    for (Status (Checker::*step)() : {&Checker::events, &Checker::listed, &Checker::live, &Checker::unlisted,
                                      &Checker::keys, &Checker::shelves, &Checker::definitions}) {
      if (Status done = (this->*step)(); !done.ok()) return done;
    }
    return Done{};
  }

  Result<bool> types() {
    const std::pair<const char*, const char*> kTypes[] = {{"owner", "hash"},   {"active", "zset"},   {"runs", "zset"},
                                                          {"keys", "hash"},    {"events", "stream"}, {"needs", "zset"},
                                                          {"finished", "hash"}};
    bool sound = true;
    for (const auto& [what, type] : kTypes) {
      const Result<RedisReply> found = link_.ask(RedisCommand{"TYPE", key(what)});
      if (!found.ok()) return found.error();
      if (found->text == type || found->text == "none") continue;
      find("index", key(what), wrong_type(found->text, type));
      sound = false;
    }
    return sound;
  }

  Status events() {
    std::string from = "-";
    std::uint64_t last_commit = 0;
    for (;;) {
      const Result<RedisReply> page =
          link_.ask(RedisCommand{"XRANGE", key("events"), from, "+", "COUNT", std::to_string(kEntriesPage)});
      if (!page.ok()) return page.error();
      for (const RedisReply& entry : page->items) last_commit = std::max(last_commit, take_entry(entry));
      if (page->items.size() < kEntriesPage) break;
      from = "(" + page->items.back().items[0].text;
    }
    const Result<OwnerRecord> owner = link_.owner(id_);
    if (!owner.ok()) return owner.error();
    if (last_commit > owner->number) {
      find("owner", key("owner"),
           "is at commit " + std::to_string(owner->number) + ", but there are events of commit " +
               std::to_string(last_commit));
    }
    return Done{};
  }

  std::uint64_t take_entry(const RedisReply& entry) {
    if (entry.items.size() != 2 || entry.items[1].items.size() < 2) return 0;
    const std::string& id = entry.items[0].text;
    const std::size_t dash = id.find('-');
    const StreamPlace place{id_, number_of<std::uint32_t>(id.substr(0, dash)),
                            dash == std::string::npos ? 0 : number_of<std::uint64_t>(id.substr(dash + 1))};
    const auto events = decode_events(place, entry.items[1].items[1].text);
    if (!events.ok()) {
      find("events", key("events"), "entry " + id + ": " + events.error().what, {}, id);
      return place.commit;
    }
    check_.events += events->size();
    for (const Event& event : *events) {
      Told& told = told_[event.run];
      if (told.first == 0) told.first = event.seq;
      else if (event.seq != told.last + 1) told.gap = true;
      told.last = event.seq;
    }
    return place.commit;
  }

  Status listed() {
    for (std::size_t at = 0;; at += kRunsPage) {
      const Result<RedisReply> page =
          link_.ask(RedisCommand{"ZRANGE", key("runs"), std::to_string(at), std::to_string(at + kRunsPage - 1)});
      if (!page.ok()) return page.error();
      if (Status judged = judge(page->items); !judged.ok()) return judged;
      if (page->items.size() < kRunsPage) return Done{};
    }
  }

  // Those that are listed as live and nowhere else.
  Status live() {
    const Result<RedisReply> all = link_.ask(RedisCommand{"ZRANGE", key("active"), "0", "-1"});
    if (!all.ok()) return all.error();
    std::vector<RedisReply> unseen;
    for (const RedisReply& id : all->items)
      if (!seen_.contains(id.text)) unseen.push_back(id);
    return judge(unseen);
  }

  // Those that are there and in no index.
  Status unlisted() {
    std::vector<std::string> unseen;
    for (const std::string& id : stored_[id_])
      if (!seen_.contains(id)) unseen.push_back(id);
    return judge(unseen);
  }

  Status judge(const std::vector<RedisReply>& ids) {
    std::vector<std::string> names;
    for (const RedisReply& id : ids) names.push_back(id.text);
    return judge(names);
  }
  Status judge(const std::vector<std::string>& ids) {
    for (std::size_t at = 0; at < ids.size(); at += kRunsPage) {
      const std::span<const std::string> some = std::span(ids).subspan(at, std::min(kRunsPage, ids.size() - at));
      std::vector<std::vector<RedisCommand>> groups;
      for (const std::string& id : some) {
        groups.push_back({{"HGETALL", key("r:") + id}, {"ZSCORE", key("runs"), id}, {"ZSCORE", key("active"), id}});
      }
      const auto answers = link_.at_once(key("owner"), groups);
      if (!answers.ok()) return answers.error();
      for (std::size_t i = 0; i < some.size(); ++i) judge(some[i], (*answers)[i]);
    }
    return Done{};
  }

  void judge(const std::string& id, const std::vector<RedisReply>& replies) {
    if (!seen_.insert(id).second) return;
    const bool listed = !replies[1].is_nil();
    const bool live = !replies[2].is_nil();
    const bool there = replies[0].is_error() || !replies[0].items.empty();
    if (!listed && !live && !there) return;  // gone meanwhile
    const std::string where = key("r:") + id;
    const auto run = parse_run_id(id);
    if (!run || partition_of(*run) != id_)
      return find("index", key(listed ? "runs" : "active"), "lists '" + id + "', which is no run of it", {}, id);
    ++check_.runs;
    if (replies[0].is_error()) return find("run", where, "run " + id + ": " + replies[0].text, run, {}, live);
    auto stored = read_run(*run, replies[0]);
    if (!stored.ok()) return find("run", where, stored.error().what, run, {}, live);
    if (!stored->has_value())
      return find("index", key(live ? "active" : "runs"), "lists run " + id + ", which is not there", run, id, live);
    const StoredRun& all = **stored;
    const bool ended = is_terminal(all.record.state);
    check_.tasks += all.tasks.size();
    check_.runs_live += ended ? 0 : 1;
    if (!ended && !live) find("index", key("active"), "does not list run " + id + ", which is live", run, id);
    if (ended && live) find("index", key("active"), "lists run " + id + ", which has ended", run, id);
    if (!listed) find("index", key("runs"), "does not list run " + id, run, id);
    definitions_[all.info.definition] |= !ended;
    note_value(all.info.inputs);
    note_value(all.record.outputs);
    for (const auto& [task, record] : all.tasks) {
      note_value(record.output);
      if (record.artifacts == nullptr) continue;
      for (const Artifact& one : *record.artifacts) values_.emplace(one.hash, id_);
    }
    look_at_events(*run, all, ended);
  }

  // Of a run that has ended the first ones may have been trimmed; while it lives all are there. Those of commits that
  // came after the stream was read are not known.
  void look_at_events(RunId run, const StoredRun& stored, bool ended) {
    const auto told = told_.find(run);
    const std::string id = to_string(run);
    if (told == told_.end()) {
      if (!ended && stored.record.seq > 0 && !changed_since(stored))
        find("events", key("events"), "has no events of run " + id + ", which is live", run);
      return;
    }
    if (told->second.gap) find("events", key("events"), "the events of run " + id + " have a gap", run);
    if (!ended && told->second.first != 1)
      find("events", key("events"), "the first events of run " + id + " are missing", run);
    if (told->second.last < stored.record.seq && !changed_since(stored))
      find("events", key("events"),
           "the last events of run " + id + " are missing: " + std::to_string(told->second.last) + " of " +
               std::to_string(stored.record.seq),
           run);
  }
  bool changed_since(const StoredRun&) {  // the partition has gone on: what looks missing may have come later
    const Result<OwnerRecord> now = link_.owner(id_);
    return !now.ok() || now->number != number_;
  }

  Status keys() {
    std::string cursor = "0";
    do {
      const Result<RedisReply> page =
          link_.ask(RedisCommand{"HSCAN", key("keys"), cursor, "COUNT", std::to_string(kFieldsPage)});
      if (!page.ok()) return page.error();
      if (page->items.size() != 2) break;
      cursor = page->items[0].text;
      const std::vector<RedisReply>& fields = page->items[1].items;
      for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
        const auto entry = decode_key(fields[i + 1].text);
        if (!entry.ok()) find("key", key("keys"), "an idempotency key: " + entry.error().what, {}, fields[i].text);
        else if (partition_of(entry->run) != id_)
          find("key", key("keys"), "an idempotency key names a run of another partition", {}, fields[i].text);
      }
    } while (cursor != "0");
    return Done{};
  }

  Status definitions() {
    for (const auto& [hash, live] : definitions_) {
      ++check_.definitions;
      const Result<std::string> wrong =
          content(definition_key(id_, hash), hash, "is not there, and runs or a registered workflow need it");
      if (!wrong.ok()) return wrong.error();
      if (!wrong->empty()) find("definition", definition_key(id_, hash), *wrong, {}, {}, live);
    }
    return Done{};
  }

  // Records of the partition itself, each of which has to open.
  Status shelves() {
    for (const Shelf shelf : kShelves) {
      const std::string where = shelf_key(id_, to_string(shelf));
      std::string cursor = "0";
      do {
        const Result<RedisReply> page =
            link_.try_ask(RedisCommand{"HSCAN", where, cursor, "COUNT", std::to_string(kFieldsPage)});
        if (!page.ok()) return page.error();
        if (page->is_error()) {
          find("shelf", where, page->text);
          break;
        }
        if (page->items.size() != 2) break;
        cursor = page->items[0].text;
        const std::vector<RedisReply>& fields = page->items[1].items;
        for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
          const std::string wrong = wrong_record(shelf, fields[i].text, fields[i + 1].text);
          if (!wrong.empty()) find("shelf", where, wrong, {}, fields[i].text);
        }
      } while (cursor != "0");
    }
    return Done{};
  }
  std::string wrong_record(Shelf shelf, const std::string& field, const std::string& bytes) {
    switch (shelf) {
      case Shelf::kWorkflows: {
        const Result<RegisteredWorkflow> workflow = decode_workflow(field, bytes);
        if (!workflow.ok()) return workflow.error().what;
        for (const WorkflowVersion& version : workflow->versions) definitions_.try_emplace(version.definition, false);
        return "";
      }
      case Shelf::kOutbox: {
        const Result<Letter> letter = decode_letter(id_, bytes);
        if (!letter.ok()) return letter.error().what;
        return std::to_string(letter->number) == field ? "" : "letter " + field + " stands under another number";
      }
      case Shelf::kInbox: {
        const std::optional<PartitionId> from = parse_partition(field);
        if (!from) return "'" + field + "' is no partition";
        const Result<Mark> mark = decode_mark(*from, id_, bytes);
        return mark.ok() ? "" : mark.error().what;
      }
      case Shelf::kTriggers: {
        const Result<TriggerRecord> record = decode_trigger(id_, field, bytes);
        return record.ok() ? "" : record.error().what;
      }
      case Shelf::kWatchers: {
        const Result<Watcher> watcher = decode_watcher(id_, field, bytes);
        return watcher.ok() ? "" : watcher.error().what;
      }
      case Shelf::kCache: {
        const Result<CacheEntry> entry = decode_cache_entry(id_, field, bytes);
        return entry.ok() ? "" : entry.error().what;
      }
      case Shelf::kCacheAsks: {
        const Result<CacheAsker> asker = decode_cache_asker(id_, field, bytes);
        return asker.ok() ? "" : asker.error().what;
      }
      case Shelf::kPauses: {
        const Result<Pause> pause = decode_pause(id_, field, bytes);
        return pause.ok() ? "" : pause.error().what;
      }
    }
    return "";
  }

  // What is wrong with it; empty: nothing.
  Result<std::string> content(const std::string& where, const Hash128& hash, const char* missing) {
    const Result<RedisReply> found = link_.try_ask(RedisCommand{"GET", where});
    if (!found.ok()) return found.error();
    if (found->is_error()) return found->text;
    if (found->is_nil()) return std::string(missing);
    const auto bytes = decode_content(hash, found->text);
    if (!bytes.ok()) return bytes.error().what;
    return is_composed(*bytes) ? parts(*bytes) : std::string();
  }

  // Of what a value is put together from: they are looked at as well.
  std::string parts(std::string_view bytes) {
    const Result<Composed> what = Composed::parse(bytes);
    if (!what.ok()) return what.error().what;
    for (const Hash128& hash : what->names()) {
      if (values_.emplace(hash, id_).second) parts_.push_back(hash);
    }
    return "";
  }

  void note_value(const Payload& payload) {
    if (payload.is_reference()) values_.emplace(payload.hash(), id_);
  }
  Status values() {
    const std::vector<std::pair<Hash128, PartitionId>> named(values_.begin(), values_.end());
    for (const auto& [hash, partition] : named) {
      id_ = partition;
      if (Status done = value(hash); !done.ok()) return done;
      for (; !parts_.empty();) {
        const Hash128 part = parts_.back();
        parts_.pop_back();
        if (Status done = value(part); !done.ok()) return done;
      }
    }
    return Done{};
  }
  Status value(const Hash128& hash) {
    ++check_.values;
    const Result<std::string> wrong = content(blob_key(hash), hash, "is not there, and a run refers to it");
    if (!wrong.ok()) return wrong.error();
    if (!wrong->empty()) find("value", blob_key(hash), *wrong);
    return Done{};
  }

  StoreLink& link_;
  StoreCheck check_;
  PartitionId id_;
  std::uint64_t number_ = 0;  // of the partition before its events were read
  std::map<RunId, Told> told_;
  std::set<std::string> seen_;
  std::map<PartitionId, std::vector<std::string>> stored_;
  std::map<Hash128, bool> definitions_;  // and whether a live run needs it
  std::map<Hash128, PartitionId> values_;
  std::vector<Hash128> parts_;  // of them, that were not looked at
};

}  // namespace

Result<StoreCheck> check_store(StoreLink& link, std::uint16_t partitions) { return Checker(link, partitions).all(); }
Result<StoreCheck> check_partition(StoreLink& link, PartitionId partition) { return Checker(link, 1).one(partition); }

}  // namespace millrace
