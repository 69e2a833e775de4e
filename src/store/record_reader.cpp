#include "store/record.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/fd.h"
#include "store/environment.h"
#include "store/schema.h"

namespace moat::store {
namespace {

constexpr size_t output_head = 9;  // time and stream
constexpr size_t max_checkpoint_file = 16 * 1024;

Error damaged(const std::string& directory, const char* table) {
  return error(Errc::tampered, "the record in %s is damaged: an entry of '%s' is malformed",
               directory.c_str(), table);
}

}  // namespace

struct RecordReader::Impl {
  std::string directory;
  std::unique_ptr<Environment> environment;

  // At most `limit` entries from `from` on, each made by `make(number, value, entries)`, which
  // says whether it was well-formed.
  template <class Entry, class Make>
  Result<std::vector<Entry>> list(Table table, std::string_view from, size_t limit, Make make) {
    std::vector<Entry> entries;
    bool sound = true;
    auto done = environment->read([&](const Snapshot& snapshot) {
      return limit == 0 ? Result<void>() : snapshot.scan(table, from, [&](auto key, auto value) {
        sound = make(key, value, entries);
        return sound && entries.size() < limit;
      });
    });
    if (!done) return done.error();
    if (!sound) return damaged(directory, table_names[static_cast<size_t>(table)]);
    return entries;
  }

  Result<std::vector<std::string>> texts(Table table, uint64_t from, size_t limit) {
    return list<std::string>(table, key_of(from), limit, [](auto key, auto value, auto& entries) {
      entries.emplace_back(value);
      return key.size() == 8;
    });
  }
};

std::string_view AuditRecord::data() const {
  // No member after it has a quotation mark in its value.
  constexpr std::string_view begin = R"({"data":)";
  const size_t end = json.rfind(R"(,"prev":")");
  if (json.compare(0, begin.size(), begin) != 0 || end == std::string::npos) return {};
  return std::string_view(json).substr(begin.size(), end - begin.size());
}

std::string_view AuditRecord::type() const {
  constexpr std::string_view begin = R"(,"type":")";
  constexpr std::string_view end = R"("})";
  const size_t at = json.rfind(begin);
  if (at == std::string::npos || !json.ends_with(end)) return {};
  const size_t from = at + begin.size();
  return std::string_view(json).substr(from, json.size() - end.size() - from);
}

RecordReader::RecordReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RecordReader::~RecordReader() = default;

Result<std::unique_ptr<RecordReader>> RecordReader::open(const std::string& directory) {
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  auto environment = Environment::open_to_read(directory + "/" + record_file);
  if (!environment) return environment.error();
  impl->environment = std::move(*environment);
  std::unique_ptr<RecordReader> reader(new RecordReader(std::move(impl)));
  const auto form = reader->meta(format_name);
  if (!form) return form.error();
  if (!*form || (**form).view().integer(-1) != record_format)
    return error(Errc::unsupported,
                 "the record in %s has a format that this version of moat does not know",
                 directory.c_str());
  return reader;
}

Result<std::optional<Json>> RecordReader::meta(std::string_view name) {
  std::optional<std::string> text;
  auto done = impl_->environment->read([&](const Snapshot& snapshot) -> Result<void> {
    auto value = snapshot.get(Table::meta, name);
    if (!value) return value.error();
    if (*value) text.emplace(**value);
    return {};
  });
  if (!done) return done.error();
  if (!text) return std::optional<Json>();
  auto json = Json::parse(*text);
  if (!json) return damaged(impl_->directory, "meta");
  return std::optional<Json>(std::move(*json));
}

Result<std::vector<LogLine>> RecordReader::output(uint64_t from, size_t limit) {
  return impl_->list<LogLine>(
      Table::output, key_of(from), limit, [](auto key, auto value, auto& lines) {
        if (key.size() != 8 || value.size() < output_head) return false;
        lines.push_back({number_of(key), static_cast<int64_t>(number_of(value)), value[8],
                         std::string(value.substr(output_head))});
        return true;
      });
}

Result<std::vector<AuditRecord>> RecordReader::exchanges(uint64_t from, size_t limit) {
  std::vector<AuditRecord> records;
  bool sound = true;
  auto done = impl_->environment->read([&](const Snapshot& snapshot) -> Result<void> {
    Result<void> inner;
    if (limit == 0) return inner;
    auto scanned = snapshot.scan(Table::exchanges, key_of(from), [&](auto key, auto seq) {
      sound = key.size() == 8 && seq.size() == 8;
      if (!sound) return false;
      const auto record = snapshot.get(Table::audit, seq);
      if (!record) inner = record.error();
      sound = !record || record->has_value();
      if (!record || !sound) return false;
      records.push_back({number_of(seq), std::string(**record)});
      return records.size() < limit;
    });
    return scanned ? inner : scanned;
  });
  if (!done) return done.error();
  if (!sound) return damaged(impl_->directory, "exchanges");
  return records;
}

Result<std::vector<uint64_t>> RecordReader::exchange_seqs(uint64_t from, size_t limit) {
  return impl_->list<uint64_t>(Table::exchanges, key_of(from), limit,
                               [](auto key, auto seq, auto& seqs) {
                                 seqs.push_back(number_of(seq));
                                 return key.size() == 8 && seq.size() == 8;
                               });
}

Result<std::vector<std::string>> RecordReader::spans(uint64_t from, size_t limit) {
  return impl_->texts(Table::spans, from, limit);
}

Result<std::vector<AuditRecord>> RecordReader::audit(uint64_t from, size_t limit) {
  return impl_->list<AuditRecord>(Table::audit, key_of(from), limit,
                                  [](auto key, auto value, auto& records) {
                                    records.push_back({number_of(key), std::string(value)});
                                    return key.size() == 8;
                                  });
}

Result<std::vector<std::string>> RecordReader::checkpoints() {
  return impl_->texts(Table::checkpoints, 0, SIZE_MAX);
}

Result<std::vector<RecordReader::StoredCheckpoint>> RecordReader::checkpoints(uint64_t from,
                                                                              size_t limit) {
  return impl_->list<StoredCheckpoint>(Table::checkpoints, key_of(from), limit,
                                       [](auto key, auto value, auto& found) {
                                         found.push_back({number_of(key), std::string(value)});
                                         return key.size() == 8;
                                       });
}

Result<std::vector<RecordReader::StoredTimestamp>> RecordReader::timestamps(uint64_t from,
                                                                            size_t limit) {
  return impl_->list<StoredTimestamp>(Table::timestamps, key_of(from), limit,
                                      [](auto key, auto value, auto& found) {
                                        if (key.size() != 8 || value.size() > max_timestamp)
                                          return false;
                                        found.push_back({number_of(key), std::string(value)});
                                        return true;
                                      });
}

Result<std::optional<std::string>> RecordReader::latest_checkpoint() {
  auto text = read_file(impl_->directory + "/" + checkpoint_file, max_checkpoint_file);
  if (text) return std::optional<std::string>(std::move(*text));
  if (text.error().code == Errc::not_found) return std::optional<std::string>();
  return text.error();
}

Result<std::vector<Digest>> RecordReader::nodes(int level, uint64_t from, size_t limit) {
  std::vector<Digest> hashes;
  bool sound = true;
  auto done = visit_nodes(level, from, [&](uint64_t index, std::string_view value) {
    if (hashes.size() == limit || index != from + hashes.size()) return false;
    Digest hash{};
    sound = value.size() == hash.size();
    if (!sound) return false;
    std::memcpy(hash.data(), value.data(), hash.size());
    hashes.push_back(hash);
    return true;
  });
  if (!done) return done.error();
  if (!sound) return damaged(impl_->directory, "nodes");
  return hashes;
}

Result<void> RecordReader::visit(Table table, uint64_t from, const Visit& fn) {
  bool sound = true;
  auto done = impl_->environment->read([&](const Snapshot& snapshot) {
    return snapshot.scan(table, key_of(from), [&](auto key, auto value) {
      sound = key.size() == 8;
      return sound && fn(number_of(key), value);
    });
  });
  if (done && !sound) return damaged(impl_->directory, table_names[static_cast<size_t>(table)]);
  return done;
}

Result<void> RecordReader::visit_nodes(int level, uint64_t from, const Visit& fn) {
  bool sound = true;
  auto done = impl_->environment->read([&](const Snapshot& snapshot) {
    return snapshot.scan(Table::nodes, node_key(level, from), [&](auto key, auto value) {
      sound = key.size() == 9;
      return sound && key[0] == level && fn(number_of(key.substr(1)), value);
    });
  });
  if (done && !sound) return damaged(impl_->directory, "nodes");
  return done;
}

Result<RecordReader::Counts> RecordReader::counts() {
  Counts counts;
  auto done = impl_->environment->read([&](const Snapshot& snapshot) -> Result<void> {
    const std::pair<Table, uint64_t*> all[] = {
        {Table::output, &counts.output},         {Table::exchanges, &counts.exchanges},
        {Table::spans, &counts.spans},           {Table::audit, &counts.audit},
        {Table::nodes, &counts.nodes},           {Table::checkpoints, &counts.checkpoints},
        {Table::timestamps, &counts.timestamps},
    };
    for (const auto& [table, count] : all) {
      auto found = snapshot.count(table);
      if (!found) return found.error();
      *count = *found;
    }
    return {};
  });
  if (!done) return done.error();
  return counts;
}

}  // namespace moat::store
