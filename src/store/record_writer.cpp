#include "store/record.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/clock.h"
#include "core/fd.h"
#include "core/forked_task.h"
#include "core/text.h"
#include "store/batch.h"
#include "store/environment.h"
#include "store/evidence.h"
#include "store/merkle.h"
#include "store/note.h"
#include "store/tail.h"
#include "store/writing_lock.h"

namespace moat::store {
namespace {

constexpr size_t max_json = 1024 * 1024;
constexpr size_t commit_from = 4 * 1024 * 1024;  // pending bytes
constexpr size_t max_pending = 2 * commit_from;
constexpr size_t max_name = 128;

bool is_word(std::string_view text, std::string_view besides) {
  if (text.empty() || text.size() > max_name) return false;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && besides.find(c) == std::string_view::npos) return false;
  }
  return true;
}

std::string file_in(const std::string& directory, const char* name) {
  return directory + "/" + name;
}

void append_canonical(std::string& out, const Json& data) {
  out += data.canonical();
}
void append_canonical(std::string& out, const JsonText& data) {
  data.append_canonical_to(out);
}

}  // namespace

struct RecordWriter::Impl {
  std::string directory;
  std::string run_id;
  const SigningKey* key = nullptr;
  std::unique_ptr<Environment> environment;
  Fd writing;  // what tells others that somebody writes, this process or a forked one
  Batch batch;
  bool stuck = false;  // the last commit failed: the caller says when to try again
  std::unique_ptr<ForkedTask> under_way;  // the commit that has been begun, of these two:
  Batch leaving;
  std::optional<SignedHead> publishing;
  bool held_back = false;

  uint64_t output = 0;
  uint64_t exchanges = 0;
  uint64_t spans = 0;
  uint64_t attested_output = 0;
  OutputDigest output_digest;  // from attested_output on

  MerkleTree tree;
  Digest previous{};  // leaf hash of the last audit record
  std::string line;   // the audit record that is being written, kept for its memory
  bool ended = false;
  std::optional<SignedHead> last_head;
  bool published = false;
  std::optional<SignedHead> to_publish;  // in its file, once it is committed
  std::optional<SignedHead> committed_head;
  std::optional<uint64_t> stamped_size;  // of the last time stamp

  Result<void> make_room(size_t puts, size_t bytes);
  Result<void> admit(size_t puts, size_t bytes);
  Result<void> check_order(std::string_view type) const;
  template <class Data>  // Json or JsonText
  Result<uint64_t> append_audit(std::string_view type, int64_t time_ns, Data& data);
  template <class Data>
  Result<uint64_t> add_audit(std::string_view type, int64_t time_ns, Data& data);
  template <class Data>
  Result<void> add_evidence(Data& data) const;
  Result<void> attest_all(int64_t time_ns);
  Result<void> commit();
  Result<void> begin_commit();
  Result<void> end_commit();
  [[nodiscard]] Result<void> write(const Batch& puts, const std::optional<SignedHead>& head) const;
  [[nodiscard]] size_t pending_bytes() const { return batch.bytes() + leaving.bytes(); }
};

// Room for that many puts of keys up to 16 bytes, and values of `bytes` together.
Result<void> RecordWriter::Impl::make_room(size_t puts, size_t bytes) {
  const size_t more = puts * (Batch::head + 16) + bytes;
  if (batch.bytes() + more > commit_from && !stuck && !batch.empty()) {
    // A failure is told by the next commit(), or by Errc::full when no room is left at all.
    (void)commit();
  }
  if (pending_bytes() + more > max_pending)
    return error(Errc::full,
                 "%s of the run's record wait to be written to %s: free some space there",
                 human_bytes(pending_bytes()).c_str(), directory.c_str());
  return {};
}

// The same for what "run.ended" is the last of.
Result<void> RecordWriter::Impl::admit(size_t puts, size_t bytes) {
  if (!ended) return make_room(puts, bytes);
  return error(Errc::closed, "the record of run %s has ended: nothing can be added to it",
               run_id.c_str());
}

// On disk when it returns: the puts, then the head in its file.
Result<void> RecordWriter::Impl::write(const Batch& puts,
                                       const std::optional<SignedHead>& head) const {
  if (!puts.empty()) {
    if (auto written = environment->write(puts); !written) return written;
  }
  if (!head) return {};
  return write_file_atomically(file_in(directory, checkpoint_file), head->note, 0600);
}

Result<void> RecordWriter::Impl::commit() {
  if (under_way) {
    if (auto done = end_commit(); !done) return done;
  }
  if (batch.empty() && !to_publish) return {};
  auto written = write(batch, to_publish);
  stuck = !written;
  if (!written) return written;
  batch.clear();
  if (to_publish) committed_head = std::exchange(to_publish, std::nullopt);
  held_back = environment->held_back();
  return {};
}

Result<void> RecordWriter::Impl::begin_commit() {
  environment->close();
  auto forked = ForkedTask::start(writing.get(), [this]() -> Result<std::string> {
    if (auto written = write(batch, to_publish); !written) return written.error();
    environment->look_for_slow_readers();
    return std::string(environment->held_back() ? "held back" : "");
  });
  if (!forked) return forked.error();
  under_way = std::move(*forked);
  leaving.swap(batch);
  publishing = std::exchange(to_publish, std::nullopt);
  return {};
}

Result<void> RecordWriter::Impl::end_commit() {
  const auto done = std::exchange(under_way, nullptr)->finish();
  stuck = !done;
  if (done) {
    held_back = !done->empty();
    leaving.clear();
    if (publishing) committed_head = std::exchange(publishing, std::nullopt);
    return {};
  }
  // It waits again, before what has come meanwhile.
  leaving.append(batch);
  batch.swap(leaving);
  leaving = Batch();
  if (!to_publish) to_publish = std::move(publishing);
  publishing.reset();
  return done.error();
}

// The members of an "output" that say what is attested.
template <class Data>
Result<void> RecordWriter::Impl::add_evidence(Data& data) const {
  if (attested_output == output) return error(Errc::invalid, "no output waits for an audit record");
  data.set("from", attested_output)
      .set("to", output - 1)
      .set("sha256", hex(view(output_digest.digest())));
  return {};
}

template <class Data>
Result<uint64_t> RecordWriter::Impl::add_audit(std::string_view type, int64_t time_ns, Data& data) {
  if (type == "output") {
    if (auto added = add_evidence(data); !added) return added.error();
  }
  const uint64_t seq = tree.size();
  // Canonical as it stands: the members in their order, and no word here needs an escape.
  line.assign("{\"data\":");
  append_canonical(line, data);
  line.append(",\"prev\":\"");
  append_hex(line, view(previous));
  line.append("\",\"run\":\"").append(run_id).append("\",\"seq\":");
  append_json_number(line, static_cast<int64_t>(seq));
  line.append(",\"time\":\"").append(rfc3339(time_ns)).append("\",\"type\":\"");
  line.append(type).append("\"}");
  const std::string& bytes = line;
  if (bytes.size() > max_record)
    return error(Errc::too_large, "an audit record of %zu bytes is too large", bytes.size());
  // A leaf completes at most 64 subtrees.
  if (auto room = admit(67, bytes.size() + 65 * sizeof(Digest) + 8); !room) return room.error();

  batch.put(Table::audit, key_of(seq), bytes);
  previous = leaf_hash(bytes);
  tree.append(previous, [this](int level, uint64_t index, const Digest& hash) {
    batch.put(Table::nodes, node_key(level, index), view(hash));
  });
  if (type == "exchange") {
    batch.put(Table::exchanges, key_of(exchanges++), key_of(seq));
  } else if (type == "output") {
    attested_output = output;
    output_digest = OutputDigest();
  }
  return seq;
}

Result<void> RecordWriter::Impl::attest_all(int64_t time_ns) {
  if (attested_output == output) return {};
  JsonText nothing;
  auto seq = add_audit("output", time_ns, nothing);
  return seq ? Result<void>() : seq.error();
}

RecordWriter::RecordWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RecordWriter::~RecordWriter() = default;

Result<std::unique_ptr<RecordWriter>> RecordWriter::create(const std::string& directory,
                                                           const std::string& run_id,
                                                           const SigningKey& key) {
  if (!is_word(run_id, "-_."))
    return error(Errc::invalid, "'%s' cannot be the id of a run", printable(run_id).c_str());
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->run_id = run_id;
  impl->key = &key;
  const std::string file = file_in(directory, record_file);
  auto environment = Environment::create(file);
  if (!environment) return environment.error();
  impl->environment = std::move(*environment);
  auto lock = lock_for_writing(file);
  auto written = lock ? Result<void>() : lock.error();
  if (lock) {
    impl->writing = std::move(*lock);
    impl->batch.put(Table::meta, format_name, std::to_string(record_format));
    written = impl->commit();
  }
  if (!written) {
    impl.reset();
    unlink(file.c_str());
    unlink((file + "-lock").c_str());
    return written.error();
  }
  return std::unique_ptr<RecordWriter>(new RecordWriter(std::move(impl)));
}

Result<std::unique_ptr<RecordWriter>> RecordWriter::resume(const std::string& directory,
                                                           const std::string& run_id,
                                                           const SigningKey& key) {
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->run_id = run_id;
  impl->key = &key;
  auto environment = Environment::open(file_in(directory, record_file));
  if (!environment) return environment.error();
  impl->environment = std::move(*environment);
  auto lock = lock_for_writing(file_in(directory, record_file));
  if (!lock) return lock.error();
  impl->writing = std::move(*lock);
  auto tail = read_tail(*impl->environment, run_id, key.public_der());
  if (!tail) return tail.error();
  impl->output = tail->output;
  impl->exchanges = tail->exchanges;
  impl->spans = tail->spans;
  impl->attested_output = tail->attested_output;
  impl->output_digest = tail->output_digest;
  impl->tree = std::move(tail->tree);
  impl->previous = tail->previous;
  impl->ended = tail->ended;
  if (tail->last_head) impl->last_head = SignedHead{*tail->last_head, ""};
  impl->published = true;  // whoever signed it saw to that
  return std::unique_ptr<RecordWriter>(new RecordWriter(std::move(impl)));
}

Result<void> RecordWriter::amend_meta(const std::string& directory, std::string_view name,
                                      const Json& value) {
  if (!is_word(name, "-_.")) return error(Errc::invalid, "a meta name is not a word");
  auto environment = Environment::open(file_in(directory, record_file));
  if (!environment) return environment.error();
  const auto lock = lock_for_writing(file_in(directory, record_file));
  if (!lock) return lock.error();
  Batch batch;
  batch.put(Table::meta, name, value.text());
  return (*environment)->write(batch);
}

Result<void> RecordWriter::set_meta(std::string_view name, const Json& value) {
  if (!is_word(name, "-_.") || name == format_name)
    return error(Errc::invalid, "'%s' cannot be the name of a meta entry", printable(name).c_str());
  const std::string text = value.text();
  if (text.size() > max_json)
    return error(Errc::too_large, "a meta entry of %zu bytes is too large", text.size());
  if (auto room = impl_->make_room(1, name.size() + text.size()); !room) return room;
  impl_->batch.put(Table::meta, name, text);
  return {};
}

Result<void> RecordWriter::append_output(int stream, int64_t time_ns, std::string_view bytes) {
  Impl& self = *impl_;
  const size_t pieces = (bytes.size() + max_piece - 1) / max_piece;
  if (auto room = self.admit(pieces, bytes.size() + pieces * 9); !room) return room;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(max_piece, bytes.size()))) {
    const std::string value = output_value(time_ns, stream, bytes.substr(0, max_piece));
    self.batch.put(Table::output, key_of(self.output++), value);
    self.output_digest.add(value);
  }
  return {};
}

Result<void> RecordWriter::append_span(const Json& span) {
  const std::string text = span.text();
  if (text.size() > max_json)
    return error(Errc::too_large, "a span of %zu bytes is too large to be kept", text.size());
  if (auto room = impl_->make_room(1, text.size()); !room) return room;
  impl_->batch.put(Table::spans, key_of(impl_->spans++), text);
  return {};
}

Result<void> RecordWriter::Impl::check_order(std::string_view type) const {
  if (!is_word(type, "-_."))
    return error(Errc::invalid, "'%s' cannot be the type of an audit record",
                 printable(type).c_str());
  const bool first = tree.size() == 0;
  if (first != (type == "run.created"))
    return error(Errc::invalid, first ? "the first audit record must be run.created"
                                      : "only the first audit record can be run.created");
  return {};
}

template <class Data>
Result<uint64_t> RecordWriter::Impl::append_audit(std::string_view type, int64_t time_ns,
                                                  Data& data) {
  if (auto checked = check_order(type); !checked) return checked.error();
  const bool last = ends_record(type);
  if (last) {
    if (auto all = attest_all(time_ns); !all) return all.error();
  }
  auto seq = add_audit(type, time_ns, data);
  if (seq && last) ended = true;
  return seq;
}

Result<uint64_t> RecordWriter::append_audit(std::string_view type, int64_t time_ns,
                                            JsonText& data) {
  return impl_->append_audit(type, time_ns, data);
}

Result<uint64_t> RecordWriter::append_audit(std::string_view type, int64_t time_ns,
                                            const Json& data) {
  if (!data.view().is_object())
    return error(Errc::invalid, "the data of an audit record must be an object");
  Json copy = data.clone();
  return impl_->append_audit(type, time_ns, copy);
}

Result<TreeHead> RecordWriter::checkpoint(Publish publish) {
  Impl& self = *impl_;
  const TreeHead head{self.tree.size(), self.tree.root()};
  if (!self.last_head || self.last_head->head.size != head.size) {
    auto note = write_checkpoint({"moat.run/" + self.run_id, head}, *self.key);
    if (!note) return note.error();
    if (auto room = self.make_room(1, note->size()); !room) return room.error();
    self.batch.put(Table::checkpoints, key_of(head.size), *note);
    self.last_head = SignedHead{head, std::move(*note)};
    self.published = false;
  }
  if (publish == Publish::yes && !std::exchange(self.published, true))
    self.to_publish = self.last_head;
  return head;
}

const std::optional<SignedHead>& RecordWriter::committed_head() const {
  return impl_->committed_head;
}

Result<void> RecordWriter::append_timestamp(uint64_t size, std::string_view der) {
  Impl& self = *impl_;
  if (der.size() > max_timestamp)
    return error(Errc::too_large, "a time stamp of %zu bytes is too large to be kept", der.size());
  if (self.stamped_size && size <= *self.stamped_size)
    return error(Errc::invalid, "there is a time stamp over %llu records already",
                 static_cast<unsigned long long>(*self.stamped_size));
  if (auto room = self.make_room(1, der.size()); !room) return room;
  self.batch.put(Table::timestamps, key_of(size), der);
  self.stamped_size = size;
  return {};
}

uint64_t RecordWriter::audit_size() const {
  return impl_->tree.size();
}
uint64_t RecordWriter::signed_size() const {
  return impl_->last_head ? impl_->last_head->head.size : 0;
}
bool RecordWriter::ended() const {
  return impl_->ended;
}
bool RecordWriter::held_back() const {
  return impl_->held_back;
}
bool RecordWriter::dirty() const {
  return !impl_->batch.empty() || impl_->to_publish;
}
size_t RecordWriter::pending_bytes() const {
  return impl_->pending_bytes();
}
void RecordWriter::settle() {
  impl_->batch.give_back();
  impl_->leaving.give_back();
  impl_->environment->settle();
}
Result<void> RecordWriter::commit() {
  return impl_->commit();
}
Result<int> RecordWriter::begin_commit() {
  if (impl_->under_way) return error(Errc::busy, "a commit is on its way already");
  if (auto begun = impl_->begin_commit(); !begun) return begun.error();
  return impl_->under_way->fd();
}
Result<void> RecordWriter::end_commit() {
  return impl_->under_way ? impl_->end_commit() : Result<void>();
}

}  // namespace moat::store
