#include "coordinator/shell/store_backup.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <set>

#include "coordinator/shell/packing.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_run.h"

namespace millrace {
namespace {

constexpr char kMagic[] = "MILLRACE-BACKUP ";
constexpr std::size_t kKeysAtOnce = 64;
constexpr Duration kPause = 1500ms;  // of writes, at most: shorter than owners bear
constexpr int kTries = 8;
constexpr std::size_t kRunsLooked = 10'000;  // the latest of a partition, for those that came meanwhile
constexpr std::size_t kRecordMax = 1024ULL * 1024 * 1024;
enum RecordKind : char { kPartition = 'P', kKey = 'K', kEnd = 'E' };

Error file_error(const std::string& file, const std::string& what) {
  return {Code::kInvalid, file + ": " + what, {}, "backup_file"};
}

// ---------------------------------------------------------------- the file

class Writer {
 public:
  explicit Writer(const std::string& file) : file_(file), part_(file + ".part"), out_(std::fopen(part_.c_str(), "wb")) {
    if (out_ != nullptr) put(kMagic + std::to_string(kBackupFormat) + "\n");
  }
  ~Writer() {
    if (out_ == nullptr) return;
    std::fclose(out_);
    std::remove(part_.c_str());
  }
  Writer(const Writer&) = delete;

  void partition(PartitionId partition, std::uint64_t number) {
    Packer record;
    record.byte(kPartition);
    record.number(partition.value);
    record.number(number);
    close(record);
  }
  void key(std::string_view key, std::string_view dump) {
    Packer record;
    record.byte(kKey);
    record.text(key);
    record.text(dump);
    close(record);
    ++keys_;
  }
  Result<StoreCopy> finish(std::uint16_t partitions) {
    if (out_ == nullptr) return file_error(file_, "cannot be written");
    Packer record;
    record.byte(kEnd);
    record.number(partitions);
    record.number(keys_);
    close(record);
    failed_ |= std::fflush(out_) != 0 || fsync(fileno(out_)) != 0;
    failed_ |= std::fclose(std::exchange(out_, nullptr)) != 0;
    if (failed_ || std::rename(part_.c_str(), file_.c_str()) != 0) {
      std::remove(part_.c_str());
      return file_error(file_, "cannot be written");
    }
    return StoreCopy{partitions, keys_, bytes_};
  }
  bool failed() const { return failed_ || out_ == nullptr; }

 private:
  void close(Packer& record) {
    const std::uint64_t sum = hash64(record.bytes());
    record.fixed64(sum);
    Packer size;
    size.number(record.bytes().size());
    put(size.bytes());
    put(record.bytes());
  }
  void put(const std::string& bytes) {
    if (out_ == nullptr) return;
    failed_ |= std::fwrite(bytes.data(), 1, bytes.size(), out_) != bytes.size();
    bytes_ += bytes.size();
  }
  std::string file_;
  std::string part_;
  std::FILE* out_;
  bool failed_ = false;
  std::uint64_t keys_ = 0;
  std::uint64_t bytes_ = 0;
};

using TakeKey = std::function<Status(std::string_view key, std::string_view dump)>;

// Reads the whole file; every record is checked before it is given on.
Result<StoreCopy> read_backup(const std::string& file, const TakeKey& take) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rb"), std::fclose);
  if (in == nullptr) return Error{Code::kNotFound, file + ": cannot be read", {}, "backup_file"};
  const std::string magic = kMagic + std::to_string(kBackupFormat) + "\n";
  std::string head(magic.size(), 0);
  StoreCopy copy;
  if (std::fread(head.data(), 1, head.size(), in.get()) != head.size() || !head.starts_with(kMagic))
    return file_error(file, "is no backup of a Millrace store");
  if (head != magic) return file_error(file, "is of another format than " + std::to_string(kBackupFormat));
  copy.bytes = head.size();
  const auto damaged = [&](const char* what) {
    return file_error(file, std::string(what) + " at byte " + std::to_string(copy.bytes));
  };
  std::string record;
  for (;;) {
    std::size_t size = 0;
    std::size_t head_bytes = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const int byte = std::fgetc(in.get());
      if (byte == EOF) return damaged("ends in the middle");
      ++head_bytes;
      size |= static_cast<std::size_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) break;
    }
    if (size < 9 || size > kRecordMax) return damaged("is damaged");
    record.resize(size);
    if (std::fread(record.data(), 1, size, in.get()) != size) return damaged("ends in the middle");
    const std::string_view body = std::string_view(record).substr(0, size - 8);
    if (Unpacker(std::string_view(record).substr(size - 8)).fixed64() != hash64(body))
      return damaged("is damaged (checksum)");
    copy.bytes += head_bytes + size;
    Unpacker fields(body);
    const char kind = static_cast<char>(fields.byte());
    if (kind == kEnd) {
      copy.partitions = static_cast<std::uint16_t>(fields.number32());
      if (fields.number() != copy.keys || !fields.done()) return damaged("does not have all its keys");
      return copy;
    }
    if (kind == kPartition) continue;
    if (kind != kKey) return damaged("is damaged");
    const std::string_view key = fields.text();
    const std::string_view dump = fields.text();
    if (!fields.done() || !key.starts_with("mr:")) return damaged("is damaged");
    ++copy.keys;
    if (!take) continue;
    if (Status taken = take(key, dump); !taken.ok()) return taken.error();
  }
}

// ---------------------------------------------------------------- backup

class Backup {
 public:
  Backup(StoreLink& link, Writer& out) : link_(link), out_(out) {}

  Status partition(PartitionId id, const std::vector<std::string>& keys) {
    id_ = id;
    written_.clear();
    // What does not change any more goes first; what lives, and what comes meanwhile, while writes stand still.
    const Result<std::set<std::string>> live = members("active", 0);
    if (!live.ok()) return live.error();
    std::vector<std::string> still;
    std::set<std::string> moving;
    for (const std::string& key : keys) {
      if (is_fixed(key) || live->contains(run_of(key))) moving.insert(key);
      else still.push_back(key);
    }
    Result<Dumps> first = dump(still);
    if (!first.ok()) return first.error();
    write(*first);
    for (const char* what : {"owner", "active", "runs", "keys", "events", "needs", "finished"})
      moving.insert(key(what));
    for (int tries = 0; tries < kTries; ++tries) {
      (void)link_.pause_writes(key("owner"), kPause);  // where that is not allowed, luck and patience must do
      Result<bool> done = settle(moving);
      (void)link_.pause_writes(key("owner"), Duration::zero());
      if (!done.ok()) return done.error();
      if (*done) return Done{};
    }
    return Error{Code::kConflict,
                 "partition " + std::to_string(id.value) +
                     " changes faster than it can be read; try again in a quieter "
                     "hour, or with a user that may CLIENT PAUSE",
                 {},
                 "store_busy"};
  }

  Status rest(const std::vector<std::string>& keys) {
    Result<Dumps> dumps = dump(keys);
    if (!dumps.ok()) return dumps.error();
    write(*dumps);
    return Done{};
  }

 private:
  using Dumps = std::vector<std::pair<std::string, std::string>>;
  std::string key(const std::string& what) const { return partition_key(id_) + ":" + what; }
  bool is_fixed(const std::string& name) const {
    const std::string what = name.substr(partition_key(id_).size() + 1);
    return !what.starts_with("r:") && !what.starts_with("def:") && !what.starts_with("log:") &&
           !what.starts_with("damaged:");
  }
  static std::string run_of(const std::string& name) {
    const std::size_t colon = name.rfind(':');
    return name.substr(colon + 1);
  }

  Result<std::set<std::string>> members(const char* index, std::size_t latest) {
    const std::string from = latest == 0 ? "0" : "-" + std::to_string(latest);
    const Result<RedisReply> all = link_.ask(RedisCommand{"ZRANGE", key(index), from, "-1"});
    if (!all.ok()) return all.error();
    std::set<std::string> ids;
    for (const RedisReply& id : all->items) ids.insert(id.text);
    return ids;
  }

  // All that may have changed, between two looks at the commit number: equal, or it does not count.
  Result<bool> settle(std::set<std::string>& moving) {
    const Result<OwnerRecord> before = link_.owner(id_);
    if (!before.ok()) return before.error();
    for (const auto& [index, latest] : {std::pair{"active", std::size_t{0}}, std::pair{"runs", kRunsLooked}}) {
      const Result<std::set<std::string>> ids = members(index, latest);
      if (!ids.ok()) return ids.error();
      for (const std::string& id : *ids) {
        const std::string name = key("r:" + id);
        if (written_.contains(name) || moving.contains(name)) continue;
        moving.insert(name);
        moving.insert(key("log:" + id));
        if (Status added = add_definition(id, moving); !added.ok()) return added.error();
      }
    }
    Result<Dumps> dumps = dump({moving.begin(), moving.end()});
    if (!dumps.ok()) return dumps.error();
    const Result<OwnerRecord> after = link_.owner(id_);
    if (!after.ok()) return after.error();
    if (before->number != after->number || before->epoch != after->epoch) return false;
    out_.partition(id_, after->number);
    write(*dumps);
    return true;
  }

  Status add_definition(const std::string& id, std::set<std::string>& moving) {
    const auto run = parse_run_id(id);
    if (!run) return Done{};
    const Result<RedisReply> fields = link_.ask(header_command(*run));
    if (!fields.ok()) return fields.error();
    const auto header = read_header(*run, *fields);
    if (!header.ok() || !header->has_value()) return Done{};  // damaged: it is copied as it is
    const std::string name = definition_key(id_, (**header).info.info.definition);
    if (!written_.contains(name)) moving.insert(name);
    return Done{};
  }

  Result<Dumps> dump(const std::vector<std::string>& keys) {
    Dumps dumps;
    for (std::size_t at = 0; at < keys.size(); at += kKeysAtOnce) {
      for (std::size_t i = at; i < std::min(keys.size(), at + kKeysAtOnce);) {
        // As long as they go to the same node.
        std::vector<RedisCommand> commands;
        const std::size_t first = i;
        const std::uint16_t slot = link_.nodes() > 1 ? redis_slot(keys[i]) : 0;
        for (; i < std::min(keys.size(), at + kKeysAtOnce); ++i) {
          if (link_.nodes() > 1 && redis_slot(keys[i]) != slot) break;
          commands.push_back({"DUMP", keys[i]});
        }
        auto replies = link_.ask(keys[first], commands);
        if (!replies.ok()) return replies.error();
        for (std::size_t j = 0; j < replies->size(); ++j) {
          if (!(*replies)[j].is_nil()) dumps.emplace_back(keys[first + j], std::move((*replies)[j].text));
        }
      }
    }
    return dumps;
  }

  void write(const Dumps& dumps) {
    for (const auto& [name, bytes] : dumps) {
      out_.key(name, bytes);
      written_.insert(name);
    }
  }

  StoreLink& link_;
  Writer& out_;
  PartitionId id_;
  std::set<std::string> written_;
};

}  // namespace

Result<StoreCopy> backup_store(StoreLink& link, std::uint16_t partitions, const std::string& file) {
  Writer out(file);
  if (out.failed()) return file_error(file, "cannot be written");
  Backup backup(link, out);
  const Result<std::vector<std::string>> all = link.scan("mr:{p*");
  if (!all.ok()) return all.error();
  for (std::uint16_t p = 0; p < partitions; ++p) {
    const std::string prefix = partition_key(PartitionId{p}) + ":";
    std::vector<std::string> keys;
    std::ranges::copy_if(*all, std::back_inserter(keys),
                         [&](const std::string& key) { return key.starts_with(prefix); });
    if (Status done = backup.partition(PartitionId{p}, keys); !done.ok()) return done.error();
    if (out.failed()) return file_error(file, "cannot be written");
  }
  // Values last: whatever the partitions refer to is there by now.
  Result<std::vector<std::string>> rest = link.scan("mr:blob:*");
  if (!rest.ok()) return rest.error();
  rest->push_back(kMetaKey);
  rest->push_back(kFleetKey);
  if (Status done = backup.rest(*rest); !done.ok()) return done.error();
  return out.finish(partitions);
}

Result<StoreCopy> restore_store(StoreLink& link, const std::string& file, bool force) {
  Result<StoreCopy> whole = read_backup(file, {});
  if (!whole.ok()) return whole;
  const Result<std::vector<std::string>> there = link.scan("mr:*");
  if (!there.ok()) return there.error();
  if (!there->empty() && !force) {
    return Error{Code::kConflict,
                 link.where() + " is not empty (" + std::to_string(there->size()) +
                     " keys of a Millrace cluster); --force replaces what is there",
                 {},
                 "store_not_empty"};
  }
  if (!there->empty()) {
    const Result<std::uint16_t> partitions = link.partitions();
    const Result<std::vector<std::string>> living = link.living(partitions.ok() ? *partitions : 0);
    if (!living.ok()) return living.error();
    if (!living->empty()) {
      return Error{Code::kRefused,
                   "coordinator " + living->front() + " lives: stop all coordinators before a restore",
                   {},
                   "coordinators_live"};
    }
    for (const std::string& key : *there)
      if (const auto gone = link.ask(RedisCommand{"UNLINK", key}); !gone.ok()) return gone.error();
  }
  return read_backup(file, [&](std::string_view key, std::string_view dump) -> Status {
    const auto restored = link.ask(RedisCommand{"RESTORE", key, "0", dump, "REPLACE"});
    if (!restored.ok()) return restored.error();
    return Done{};
  });
}

}  // namespace millrace
