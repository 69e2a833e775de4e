#include "store/verify.h"

#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/evidence.h"
#include "store/merkle.h"
#include "store/note.h"
#include "store/schema.h"
#include "timestamp_answer.h"

namespace {

using moat::Errc;
using moat::Json;
using moat::store::key_of;
using moat::store::node_key;
using moat::store::Verdict;
using moat::store::verify_record;
using moat::test::need;
using moat::test::one;
using moat::test::RecordTest;
using moat::test::some_time;
using moat::test::TempDir;

void check(int rc) {
  if (rc != 0) throw std::runtime_error(mdb_strerror(rc));
}

// Somebody with the file and a tool for LMDB.
class Forger {
 public:
  explicit Forger(const std::string& directory) {
    check(mdb_env_create(&env_));
    mdb_env_set_maxdbs(env_, 8);
    // No power is cut here, and the disk takes its time.
    check(mdb_env_open(env_, (directory + "/record.mdb").c_str(), MDB_NOSUBDIR | MDB_NOSYNC, 0600));
    check(mdb_txn_begin(env_, nullptr, 0, &txn_));
  }
  ~Forger() {
    mdb_txn_commit(txn_);
    mdb_env_close(env_);
  }
  Forger(const Forger&) = delete;
  Forger& operator=(const Forger&) = delete;

  std::string get(const char* table, std::string key) {
    MDB_val k{key.size(), key.data()};
    MDB_val v{};
    check(mdb_get(txn_, open(table), &k, &v));
    return {static_cast<const char*>(v.mv_data), v.mv_size};
  }
  void put(const char* table, std::string key, std::string value) {
    MDB_val k{key.size(), key.data()};
    MDB_val v{value.size(), value.data()};
    check(mdb_put(txn_, open(table), &k, &v, 0));
  }
  void remove(const char* table, std::string key) {
    MDB_val k{key.size(), key.data()};
    check(mdb_del(txn_, open(table), &k, nullptr));
  }
  void clear(const char* table) { check(mdb_drop(txn_, open(table), 0)); }
  // The nodes that honest records would have.
  void rebuild_nodes(uint64_t records) {
    clear("nodes");
    moat::store::MerkleTree tree;
    for (uint64_t seq = 0; seq < records; ++seq)
      tree.append(moat::store::leaf_hash(get("audit", key_of(seq))),
                  [this](int level, uint64_t index, const moat::Digest& hash) {
                    put("nodes", node_key(level, index), std::string(moat::view(hash)));
                  });
  }
  // The records of these numbers, in this order, told as if they had come so: with the seq, the
  // prev and the nodes that fit, and the exchanges listed.
  void retell(const std::vector<uint64_t>& order) {
    std::vector<std::string> told;
    told.reserve(order.size());
    for (const uint64_t seq : order) told.push_back(get("audit", key_of(seq)));
    retell(told);
  }
  void retell(const std::vector<std::string>& told) {
    clear("audit");
    clear("exchanges");
    std::string prev(64, '0');
    uint64_t exchanges = 0;
    for (uint64_t seq = 0; seq < told.size(); ++seq) {
      Json json = need(Json::parse(told[seq]));
      json.set("seq", seq).set("prev", prev);
      put("audit", key_of(seq), json.canonical());
      prev = moat::hex(moat::view(moat::store::leaf_hash(json.canonical())));
      if (json["type"].string() == "exchange") put("exchanges", key_of(exchanges++), key_of(seq));
    }
    rebuild_nodes(told.size());
  }
  // Each record's "prev" made to fit its predecessor, from `first` on.
  void rechain(uint64_t first, uint64_t records) {
    for (uint64_t seq = first; seq < records; ++seq) {
      Json json = need(Json::parse(get("audit", key_of(seq))));
      json.set("prev",
               moat::hex(moat::view(moat::store::leaf_hash(get("audit", key_of(seq - 1))))));
      put("audit", key_of(seq), json.canonical());
    }
    rebuild_nodes(records);
  }

 private:
  MDB_dbi open(const char* table) {
    MDB_dbi dbi = 0;
    check(mdb_dbi_open(txn_, table, 0, &dbi));
    return dbi;
  }
  MDB_env* env_ = nullptr;
  MDB_txn* txn_ = nullptr;
};

constexpr uint64_t records = 8;  // of whole_run()

struct VerifyTest : RecordTest {
  Verdict verdict;
  std::string run_id = "a1b2c3d4e5f6";

  const Verdict& verify() { return verify(key.public_pem()); }
  const Verdict& verify(const std::string& public_key) {
    reader.reset();
    open();
    verdict = need(verify_record(*reader, run_id, public_key));
    reader.reset();
    return verdict;
  }
  bool is(Verdict::Kind kind) { return verify().kind == kind; }
  bool tampered(std::string_view says) {
    verify();
    const bool found =
        verdict.kind == Verdict::Kind::tampered && verdict.problem.find(says) != std::string::npos;
    if (!found) print_error("the verdict was: %s\n", verdict.problem.c_str());
    return found;
  }
  template <class Fn>
  void forge(Fn fn) {
    Forger forger(directory);
    fn(forger);
  }
};

void an_honest_run_is_valid(VerifyTest& t) {
  t.whole_run();
  const Verdict& verdict = t.verify();
  assert_string_equal(verdict.problem.c_str(), "");
  const bool valid = verdict.kind == Verdict::Kind::valid;
  assert_true(valid);
  assert_int_equal(verdict.records, records);
  assert_int_equal(verdict.signed_size, records);
  assert_int_equal(verdict.checkpoints, 2);
  assert_int_equal(verdict.head.size, records);
}

void the_root_is_the_signed_one(VerifyTest& t) {
  t.whole_run();
  const auto note = need(moat::store::read_checkpoint(
      need(moat::read_file(t.directory + "/checkpoint", 4096)), t.key.public_der()));
  const bool same = note.head.root == t.verify(t.key.public_der()).head.root;
  assert_true(same);
}

void a_run_without_an_end_is_incomplete(VerifyTest& t) {
  t.begin();
  need(t.writer->commit());
  const bool incomplete = t.is(Verdict::Kind::incomplete);
  assert_true(incomplete);
  assert_string_equal(t.verdict.problem.c_str(), "there is no record of the run's end");
  t.exchange("a");
  t.line("unattested\n");
  need(t.writer->checkpoint());
  need(t.writer->commit());
  const bool still = t.is(Verdict::Kind::incomplete);
  assert_true(still);
  assert_int_equal(t.verdict.signed_size, 2);
}

void an_end_that_nobody_signed_is_incomplete(VerifyTest& t) {
  t.begin();
  need(t.writer->checkpoint());
  need(t.writer->append_audit("run.ended", some_time, Json::object()));
  need(t.writer->commit());
  const bool incomplete = t.is(Verdict::Kind::incomplete);
  assert_true(incomplete);
  assert_string_equal(t.verdict.problem.c_str(), "no checkpoint covers the last 1 records");
}

void an_empty_record_is_incomplete(VerifyTest& t) {
  t.create();
  const bool incomplete = t.is(Verdict::Kind::incomplete);
  assert_true(incomplete);
  need(t.writer->checkpoint());
  need(t.writer->append_audit("run.created", some_time, Json::object()));
  t.end();
  const bool valid = t.is(Verdict::Kind::valid);
  assert_true(valid);
  assert_int_equal(t.verdict.checkpoints, 2);
}

// A file whose bits are flipped where they lie, while a reader has it open.
class Patient {
 public:
  explicit Patient(const std::string& path)
      : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)), bytes_(need(moat::read_file(path, 1 << 24))) {}
  // Every place where `what` stands: a page that has been written anew leaves its old copy behind.
  [[nodiscard]] std::vector<size_t> places_of(const std::string& what) const {
    std::vector<size_t> places;
    for (size_t at = bytes_.find(what); at != std::string::npos; at = bytes_.find(what, at + 1))
      places.push_back(at);
    if (places.empty()) throw std::runtime_error("it is not in the file");
    return places;
  }
  void flip(const std::vector<size_t>& places, size_t offset, unsigned bit) {
    for (const size_t place : places) {
      bytes_[place + offset] = static_cast<char>(bytes_[place + offset] ^ (1U << bit));
      if (pwrite(fd_.get(), &bytes_[place + offset], 1, static_cast<off_t>(place + offset)) != 1)
        throw std::runtime_error("pwrite");
    }
  }

 private:
  moat::Fd fd_;
  std::string bytes_;
};

struct TamperTest : VerifyTest {
  std::unique_ptr<Patient> patient;
  std::function<bool(const std::string&)> names_it;

  // Six records and one head, so that no signature is checked before the records are.
  void small_run() {
    begin();
    line("a line\n");
    need(writer->append_audit("output", some_time, Json::object()));
    exchange("a.example");
    exchange("b.example");
    need(writer->append_audit("signal", some_time, one("number", 15)));
    end();
    writer.reset();
    if (unlink((directory + "/checkpoint").c_str()) != 0) throw std::runtime_error("unlink");
  }
  std::string stored(const char* table, const std::string& where) {
    std::string value;
    forge([&](Forger& f) { value = f.get(table, where); });
    return value;
  }
  void begin_flipping(const char* file = "/record.mdb") {
    patient = std::make_unique<Patient>(directory + file);
    open();
  }
  bool is_found() {
    verdict = need(verify_record(*reader, run_id, key.public_der()));
    return verdict.kind == Verdict::Kind::tampered && names_it(verdict.problem);
  }
  // Each bit of the bytes of `what` up to `size`, one at a time; or one in `step` of each byte.
  bool every_bit_is_found(const std::string& what, size_t size = SIZE_MAX, unsigned step = 1) {
    const auto places = patient->places_of(what);
    for (size_t offset = 0; offset < std::min(what.size(), size); ++offset) {
      for (unsigned bit = offset % step; bit < 8; bit += step) {
        patient->flip(places, offset, bit);
        const bool found = is_found();
        patient->flip(places, offset, bit);
        if (found) continue;
        print_error("byte %zu, bit %u: %s\n", offset, bit, verdict.problem.c_str());
        return false;
      }
    }
    return true;
  }
  void is_named(std::vector<std::string> any_of) {
    names_it = [any_of](const std::string& problem) {
      for (const std::string& name : any_of)
        if (problem.find(name) != std::string::npos) return true;
      return false;
    };
  }
  bool is_whole() {
    verdict = need(verify_record(*reader, run_id, key.public_der()));
    return verdict.kind == Verdict::Kind::valid;
  }
};

constexpr uint64_t few = 6;  // of small_run()

void every_bit_of_every_record_counts(TamperTest& t) {
  t.small_run();
  std::vector<std::string> all;
  for (uint64_t seq = 0; seq < few; ++seq) all.push_back(t.stored("audit", key_of(seq)));
  t.begin_flipping();
  for (uint64_t seq = 0; seq < few; ++seq) {
    // Where its own text still tells nothing, the next does not continue it, or its node does not
    // fit.
    t.is_named({moat::format("record %d ", static_cast<int>(seq)),
                moat::format("does not continue record %d:", static_cast<int>(seq))});
    assert_true(t.every_bit_is_found(all[seq]));
  }
  assert_true(t.is_whole());
}

void every_bit_of_every_node_counts(TamperTest& t) {
  t.small_run();
  std::vector<std::pair<std::string, std::string>> all;
  for (int level = 0; level < 3; ++level)
    for (uint64_t index = 0; index < few >> level; ++index)
      all.emplace_back(
          moat::format("node %d of level %d is another", static_cast<int>(index), level),
          t.stored("nodes", node_key(level, index)));
  t.begin_flipping();
  for (const auto& [name, hash] : all) {
    t.is_named({name});
    assert_true(t.every_bit_is_found(hash));
  }
  assert_int_equal(all.size(), 10);
  assert_true(t.is_whole());
}

void every_bit_of_every_checkpoint_counts(TamperTest& t) {
  t.small_run();
  const std::string note = t.stored("checkpoints", key_of(few));
  t.begin_flipping();
  t.is_named({"the checkpoint over 6 records "});
  assert_true(t.every_bit_is_found(note));
  assert_true(t.is_whole());
}

void every_byte_of_the_file_checkpoint_counts(TamperTest& t) {
  t.small_run();
  const std::string note = t.stored("checkpoints", key_of(few));
  need(moat::write_file_atomically(t.directory + "/checkpoint", note, 0600));
  t.begin_flipping("/checkpoint");
  t.is_named({"the file checkpoint "});
  assert_true(t.every_bit_is_found(note, SIZE_MAX, 8));
  assert_true(t.is_whole());
}

void every_bit_of_every_piece_of_output_counts(TamperTest& t) {
  t.small_run();
  const std::string piece = t.stored("output", key_of(0));
  t.begin_flipping();
  t.is_named({"record 1 does not fit the output that is kept, pieces 0 to 0"});
  assert_true(t.every_bit_is_found(piece));
  assert_true(t.is_whole());
}

// LMDB has a key right before its value. Where it says another number, the entry is not where it is
// looked for, or the tree is out of order.
void every_bit_of_every_key_counts(TamperTest& t) {
  t.small_run();
  std::vector<std::pair<std::string, std::vector<std::string>>> all;
  for (uint64_t seq = 0; seq < few; ++seq)
    all.push_back({key_of(seq) + t.stored("audit", key_of(seq)),
                   {moat::format("record %d is missing", static_cast<int>(seq)), "record 0 "}});
  for (int level = 0; level < 3; ++level)
    for (uint64_t index = 0; index < few >> level; ++index)
      all.push_back({node_key(level, index) + t.stored("nodes", node_key(level, index)),
                     {"does not fit the tree: node "}});
  all.push_back({key_of(few) + t.stored("checkpoints", key_of(few)), {"checkpoint"}});
  all.push_back(
      {key_of(0) + t.stored("output", key_of(0)), {"record 1 attests piece 0, which is"}});
  t.begin_flipping();
  for (const auto& [entry, names] : all) {
    t.is_named(names);
    const bool is_node = names[0].ends_with("node ");
    assert_true(t.every_bit_is_found(entry, is_node ? 9 : 8));
  }
  assert_true(t.is_whole());
}

void every_bit_of_every_exchange_counts(TamperTest& t) {
  t.small_run();
  t.begin_flipping();
  for (uint64_t index = 0; index < 2; ++index) {
    // Its key as well as its value: out of order, the second may be found in the first's place.
    t.is_named({moat::format("record %d is not listed as exchange %d", static_cast<int>(index) + 2,
                             static_cast<int>(index)),
                "record 2 is not listed as exchange 0"});
    assert_true(t.every_bit_is_found(key_of(index) + key_of(index + 2)));
  }
  assert_true(t.is_whole());
}

// The chain, the nodes and the lists all fit: what is signed tells.
void a_story_retold_breaks_the_checkpoint(VerifyTest& t) {
  const std::pair<std::vector<uint64_t>, const char*> stories[] = {
      {{0, 1, 2, 3, 4, 6, 7}, "only 7 are kept: the end was cut off"},  // dropped
      {{0, 1, 2, 4, 5, 6, 7}, "the checkpoint over 4 records was signed over other records"},
      {{0, 1, 2, 3, 4, 5, 5, 6, 7}, "the checkpoint over 8 records was signed over other records"},
      {{0, 1, 2, 2, 3, 4, 5, 6, 7}, "the checkpoint over 4 records was signed over other records"},
      {{0, 1, 2, 3, 5, 4, 6, 7}, "the checkpoint over 8 records was signed over other records"},
      {{0, 1, 3, 2, 4, 5, 6, 7}, "the checkpoint over 4 records was signed over other records"},
      {{0, 1, 2, 3, 4}, "only 5 are kept: the end was cut off"},
      {{0, 1, 2}, "only 3 are kept: the end was cut off"},
      {{0}, "only 1 are kept: the end was cut off"},
      {{}, "only 0 are kept: the end was cut off"},
  };
  t.whole_run();
  std::vector<std::string> honest;
  t.forge([&](Forger& f) {
    for (uint64_t seq = 0; seq < records; ++seq) honest.push_back(f.get("audit", key_of(seq)));
  });
  for (const auto& [order, says] : stories) {
    std::vector<std::string> told;
    for (const uint64_t seq : order) told.push_back(honest[seq]);
    // The records of output go with their pieces, which these stories leave alone.
    t.forge([&](Forger& f) { f.retell(told); });
    const bool found = t.tampered(says);
    assert_true(found);
  }
  t.forge([&](Forger& f) { f.retell(honest); });
  const bool valid = t.is(Verdict::Kind::valid);
  assert_true(valid);
}

// Each is the last record told in another way, with the node that fits.
void what_is_equivalent_but_not_canonical_is_found(VerifyTest& t) {
  t.whole_run();
  std::string honest;
  t.forge([&](Forger& f) { honest = f.get("audit", key_of(7)); });
  const std::pair<std::string_view, std::string_view> changes[] = {
      {"{\"data\"", "{ \"data\""},
      {"{\"data\"", "\n{\"data\""},
      {"\"run.ended\"}", "\"run.ended\"} "},
      {"\"run.ended\"}", "\"run.ended\"}\n"},
      {"\"run.ended\"", "\"run\\u002eended\""},
      {"\"data\"", "\"d\\u0061ta\""},
      {"\"status\":0", "\"status\":0.0"},
      {"\"status\":0", "\"status\":-0"},
      {"\"status\":0", "\"status\":0e0"},
      {"\"status\":0", "\"status\":00"},
      {"\"status\":0", "\"status\":1,\"status\":0"},
      {"\"status\":0", "\"x\":1,\"status\":0"},
      {"\"status\":0", "\"status\":\"\\/\""},
      {"\"status\":0", "\"status\":\"\\u001F\""},
      {"\"status\":0", "\"status\":\"\\u0000\""},
      {"\"status\":0", "\"status\":\"\\ud800\""},
      {"\"status\":0", "\"status\":1e400"},
      {"\"status\":0", "\"status\":9007199254740993"},
      {"\"status\":0", "\"status\":123456789012345678901234567890"},
      {"\"status\":0", "\"status\":\"\xff\""},
      {"\"status\":0", "\"status\":\"\xc0\xaf\""},
      {"\"status\":0", "\"status\":\"\xed\xa0\x80\""},
      {"\"status\":0", "\"status\":\"\xf4\x90\x80\x80\""},
      {"\"seq\":7", "\"seq\":7.0"},
      {"\"seq\":7", "\"seq\":7e0"},
      {"\"seq\":7", "\"seq\":07"},
      {"\"seq\":7", "\"seq\":+7"},
  };
  for (const auto& [from, to] : changes) {
    std::string changed = honest;
    changed.replace(changed.find(from), from.size(), to);
    t.forge([&](Forger& f) {
      f.put("audit", key_of(7), changed);
      f.rebuild_nodes(records);
    });
    const bool found = t.tampered("record 7 is not canonical JSON");
    if (!found) print_error("%s\n", changed.c_str());
    assert_true(found);
    assert_int_equal(t.verdict.problem_seq.value_or(99), 7);
  }
}

// Canonical, but not what stands in a record.
void members_of_another_kind_are_found(VerifyTest& t) {
  t.whole_run();
  std::string honest;
  t.forge([&](Forger& f) { honest = f.get("audit", key_of(7)); });
  constexpr const char* members = "record 7 has not the members that a record has";
  const std::tuple<std::string_view, std::string_view, const char*> changes[] = {
      {"{\"status\":0}", "[]", members},
      {"{\"status\":0}", "null", members},
      {"\"type\":\"run.ended\"", "\"type\":7", members},
      {"\"seq\":7", "\"seq\":\"7\"", members},
      {"\"run\":\"a1b2c3d4e5f6\"", "\"run\":{}", members},
      {"\"run\":\"a1b2c3d4e5f6\",", "", members},
      {"\"type\":\"run.ended\"", "\"type\":\"run.ended\",\"typo\":1", members},
      {"\"seq\":7", "\"seq\":-7", "record 7 stands in the place of another"},
      {"\"seq\":7", "\"seq\":7.5", "record 7 stands in the place of another"},
      {"\"seq\":7", "\"seq\":18446744073709552000", "record 7 stands in the place of another"},
      {"\"prev\":\"", "\"prev\":\"0", "record 7 does not continue record 6"},
      {".123456Z", ".123Z", "record 7 has no time"},
      {".123456Z", ".123456+00:00", "record 7 has no time"},
      {"2023-11-14T", "2023-11-14 ", "record 7 has no time"},
      {"2023-11-14T", "2023-13-14T", "record 7 has no time"},
      {"2023-11-14T", "2023-02-29T", "record 7 has no time"},
  };
  for (const auto& [from, to, says] : changes) {
    std::string changed = honest;
    changed.replace(changed.find(from), from.size(), to);
    t.forge([&](Forger& f) {
      f.put("audit", key_of(7), changed);
      f.rebuild_nodes(records);
    });
    const bool found = t.tampered(says);
    if (!found) print_error("%s\n", changed.c_str());
    assert_true(found);
  }
}

void a_record_that_is_too_large_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) {
    Json json = need(Json::parse(f.get("audit", key_of(7))));
    json.set("data", one("text", std::string(1024 * 1024, 'x')));
    f.put("audit", key_of(7), json.canonical());
    f.rebuild_nodes(records);
  });
  const bool found = t.tampered("record 7 is larger than a record can be");
  assert_true(found);
}

void what_a_record_of_output_says_is_held_to_what_is_kept(VerifyTest& t) {
  t.whole_run();
  Json honest;
  t.forge([&](Forger& f) { honest = need(Json::parse(f.get("audit", key_of(1)))); });
  const auto told = [&](auto change) {
    Json data = honest["data"].clone();
    change(data);
    Json json = honest.clone();
    json.set("data", std::move(data));
    t.forge([&](Forger& f) {
      f.put("audit", key_of(1), json.canonical());
      f.rechain(2, records);
    });
  };
  constexpr const char* misses = "record 1 does not attest the output from piece 0 on";
  told([](Json& data) { data.set("from", 1); });
  assert_true(t.tampered(misses));
  told([](Json& data) { data.set("from", "0"); });
  assert_true(t.tampered(misses));
  told([](Json& data) { data.set("to", -1); });
  assert_true(t.tampered(misses));
  told([](Json& data) { data = Json::object(); });
  assert_true(t.tampered(misses));
  told([](Json& data) { data.set("to", 3); });
  assert_true(t.tampered("record 1 attests output up to piece 3, but 3 pieces are kept"));
  told([](Json& data) { data.set("to", int64_t{1} << 53); });
  assert_true(t.tampered("record 1 attests output up to piece 9007199254740992"));
  told([](Json& data) { data.set("sha256", 1); });
  assert_true(t.tampered("record 1 does not fit the output that is kept"));
  told([](Json& data) { data.set("to", 0); });
  assert_true(t.tampered("record 1 does not fit the output that is kept, pieces 0 to 0"));
}

// Another run of this installation, whose heads the same key has signed.
struct TwoRunsTest : VerifyTest {
  TempDir other_temp;
  std::vector<std::string> other_records;
  std::string other_note;

  void two_runs() {
    whole_run();
    auto second = need(moat::store::RecordWriter::create(other_temp.path, "0f0f0f0f0f0f", key));
    for (const char* type : {"run.created", "dns", "dns", "exchange", "dns", "dns", "dns"})
      need(second->append_audit(type, some_time, one("other", "run")));
    need(second->append_audit("run.ended", some_time, Json::object()));
    need(second->checkpoint());
    need(second->commit());
    second.reset();
    Forger forger(other_temp.path);
    for (uint64_t seq = 0; seq < records; ++seq)
      other_records.push_back(forger.get("audit", key_of(seq)));
    other_note = forger.get("checkpoints", key_of(records));
  }
};

void a_checkpoint_replayed_from_another_run_is_found(TwoRunsTest& t) {
  t.two_runs();
  t.forge([&](Forger& f) { f.put("checkpoints", key_of(records), t.other_note); });
  const bool found = t.tampered("the checkpoint over 8 records is of another run");
  assert_true(found);
  t.forge([&](Forger& f) { f.remove("checkpoints", key_of(records)); });
  need(moat::write_file_atomically(t.directory + "/checkpoint", t.other_note, 0600));
  const bool in_file = t.tampered("the file checkpoint is of another run");
  assert_true(in_file);
}

void two_runs_spliced_are_found(TwoRunsTest& t) {
  t.two_runs();
  std::vector<std::string> told;
  t.forge([&](Forger& f) {
    for (uint64_t seq = 0; seq < 5; ++seq) told.push_back(f.get("audit", key_of(seq)));
    for (uint64_t seq = 5; seq < records; ++seq) {
      told.push_back(t.other_records[seq]);
      f.put("audit", key_of(seq), told.back());
    }
    f.rebuild_nodes(records);
  });
  const bool found = t.tampered("record 5 is of another run");
  assert_true(found);
  for (size_t seq = 5; seq < records; ++seq) {
    Json json = need(Json::parse(told[seq]));
    told[seq] = json.set("run", t.run_id).canonical();
  }
  t.forge([&](Forger& f) { f.retell(told); });
  const bool still = t.tampered("the checkpoint over 8 records was signed over other records");
  assert_true(still);
}

void a_record_retold_and_signed_by_another_key_is_found(VerifyTest& t) {
  t.whole_run();
  const auto forged = need(moat::SigningKey::generate());
  t.forge([&](Forger& f) {
    Json json = need(Json::parse(f.get("audit", key_of(5))));
    json.set("data", one("name", "innocent.example"));
    f.put("audit", key_of(5), json.canonical());
    f.rechain(6, records);
    moat::store::MerkleTree tree;
    for (uint64_t seq = 0; seq < records; ++seq)
      tree.append(moat::store::leaf_hash(f.get("audit", key_of(seq))));
    const std::string note = need(
        moat::store::write_checkpoint({"moat.run/" + t.run_id, {records, tree.root()}}, forged));
    f.put("checkpoints", key_of(records), note);
    need(moat::write_file_atomically(t.directory + "/checkpoint", note, 0600));
  });
  const bool in_file = t.tampered("the file checkpoint does not fit: the checkpoint is not signed");
  assert_true(in_file);
  assert_int_equal(unlink((t.directory + "/checkpoint").c_str()), 0);
  const bool found =
      t.tampered("the checkpoint over 8 records does not fit: the checkpoint is not");
  assert_true(found);
}

void a_record_changed_with_all_that_follows_breaks_the_checkpoint(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) {
    Json json = need(Json::parse(f.get("audit", key_of(5))));
    json.set("data", one("name", "innocent.example"));
    f.put("audit", key_of(5), json.canonical());
    f.rechain(6, records);
  });
  const bool found = t.tampered("the checkpoint over 8 records was signed over other records");
  assert_true(found);
}

void a_record_in_another_form_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) {
    std::string record = f.get("audit", key_of(7));
    f.put("audit", key_of(7), record.insert(1, " "));
  });
  const bool found = t.tampered("record 7 is not canonical JSON");
  assert_true(found);
  assert_int_equal(t.verdict.problem_seq.value_or(99), 7);
}

void an_additional_member_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) {
    Json json = need(Json::parse(f.get("audit", key_of(7))));
    json.set("note", "x");
    f.put("audit", key_of(7), json.canonical());
  });
  const bool found = t.tampered("record 7 has not the members");
  assert_true(found);
}

void swapped_records_are_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) {
    const std::string a = f.get("audit", key_of(2));
    const std::string b = f.get("audit", key_of(3));
    f.put("audit", key_of(2), b);
    f.put("audit", key_of(3), a);
    f.rebuild_nodes(records);
  });
  const bool found = t.tampered("record 2 stands in the place of another");
  assert_true(found);
}

void a_record_told_twice_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) {
    for (uint64_t seq = records; seq > 5; --seq)
      f.put("audit", key_of(seq), f.get("audit", key_of(seq - 1)));
    f.rebuild_nodes(records + 1);
  });
  const bool found = t.tampered("record 6 stands in the place of another");
  assert_true(found);
}

void a_missing_record_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) { f.remove("audit", key_of(4)); });
  const bool found = t.tampered("record 4 is missing");
  assert_true(found);
  t.forge([](Forger& f) { f.put("audit", key_of(8), "{}"); });
  const bool still = t.tampered("record 4 is missing");
  assert_true(still);
}

void a_cut_end_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) {
    f.remove("audit", key_of(7));
    f.rebuild_nodes(7);
  });
  const bool found = t.tampered("only 7 are kept: the end was cut off");
  assert_true(found);
  t.forge([](Forger& f) { f.remove("checkpoints", key_of(8)); });
  const bool by_file = t.tampered("only 7 are kept: the end was cut off");
  assert_true(by_file);
  // Without any of the signed heads nothing is left to tell: but it is not called whole.
  assert_int_equal(unlink((t.directory + "/checkpoint").c_str()), 0);
  const bool incomplete = t.is(Verdict::Kind::incomplete);
  assert_true(incomplete);
}

void an_older_copy_of_the_record_is_found(VerifyTest& t) {
  t.begin();
  need(t.writer->checkpoint());
  need(t.writer->commit());
  const std::string older = need(moat::read_file(t.directory + "/record.mdb", 1 << 24));
  t.exchange("api.github.com");
  t.end();
  t.writer.reset();
  need(moat::write_file_atomically(t.directory + "/record.mdb", older, 0600));
  const bool found = t.tampered("the end was cut off");
  assert_true(found);
}

void changed_output_is_found(VerifyTest& t) {
  t.whole_run();
  std::string honest;
  t.forge([&](Forger& f) { honest = f.get("output", key_of(1)); });
  for (size_t i = 0; i < honest.size(); ++i) {  // time, stream and each byte
    std::string changed = honest;
    changed[i] = static_cast<char>(changed[i] ^ 2);
    t.forge([&](Forger& f) { f.put("output", key_of(1), changed); });
    const bool found = t.tampered("record 1 does not fit the output that is kept, pieces 0 to 1");
    assert_true(found);
  }
}

void output_of_no_stream_is_found_even_when_it_was_signed(VerifyTest& t) {
  t.begin();
  t.line("neither output nor error\n", 3);
  t.end();
  t.writer.reset();
  const bool found = t.tampered("record 1 attests what is no piece of output");
  assert_true(found);
}

void a_newline_moved_from_one_piece_to_the_next_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) {
    using moat::store::output_value;
    f.put("output", key_of(0), output_value(some_time, 1, "first line"));
    f.put("output", key_of(1), output_value(some_time, 2, "\na complaint\n"));
  });
  const bool found = t.tampered("record 1 does not fit the output");
  assert_true(found);
}

void missing_and_additional_output_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) { f.put("output", key_of(3), std::string(9, '\0') + "forged\n"); });
  const bool more = t.tampered("output 3 is attested by no record");
  assert_true(more);
  t.forge([](Forger& f) {
    f.remove("output", key_of(3));
    f.remove("output", key_of(2));
  });
  const bool less = t.tampered("attests output up to piece 2, but 2 pieces are kept");
  assert_true(less);
  t.forge([](Forger& f) { f.put("output", key_of(9), std::string(9, '\0') + "elsewhere\n"); });
  const bool moved = t.tampered("attests piece 2, which is missing");
  assert_true(moved);
  t.forge([](Forger& f) { f.put("output", key_of(2), "short"); });
  const bool malformed = t.is(Verdict::Kind::tampered);
  assert_true(malformed);
}

void changed_missing_and_additional_exchanges_are_found(VerifyTest& t) {
  t.whole_run();
  std::string honest;
  t.forge([&](Forger& f) {
    honest = f.get("exchanges", key_of(1));
    f.put("exchanges", key_of(1), key_of(1));
  });
  const bool changed = t.tampered("record 3 is not listed as exchange 1");
  assert_true(changed);
  t.forge([&](Forger& f) {
    f.put("exchanges", key_of(1), honest);
    f.put("exchanges", key_of(2), honest);
  });
  const bool more = t.tampered("an exchange is listed that no record tells of, number 2");
  assert_true(more);
  t.forge([&](Forger& f) {
    f.remove("exchanges", key_of(2));
    f.remove("exchanges", key_of(1));
  });
  const bool less = t.tampered("record 3 is not listed as exchange 1");
  assert_true(less);
}

void changed_missing_and_additional_nodes_are_found(VerifyTest& t) {
  t.whole_run();
  std::string honest;
  t.forge([&](Forger& f) {
    honest = f.get("nodes", node_key(1, 2));
    f.put("nodes", node_key(1, 2), std::string(32, 'x'));
  });
  const bool changed = t.tampered("node 2 of level 1 is another");
  assert_true(changed);
  t.forge([&](Forger& f) {
    f.remove("nodes", node_key(1, 2));
    f.put("nodes", node_key(9, 0), honest);
  });
  const bool missing = t.tampered("node 2 of level 1 is missing");
  assert_true(missing);
  t.forge([&](Forger& f) { f.put("nodes", node_key(1, 2), honest); });
  const bool more = t.tampered("the tree keeps 16 nodes where 8 records make 15");
  assert_true(more);
}

void a_checkpoint_of_another_run_is_found(VerifyTest& t) {
  t.whole_run();
  const auto honest = need(moat::store::read_checkpoint(
      need(moat::read_file(t.directory + "/checkpoint", 4096)), t.key.public_pem()));
  const std::string other =
      need(moat::store::write_checkpoint({"moat.run/other", honest.head}, t.key));
  t.forge([&](Forger& f) { f.put("checkpoints", key_of(records), other); });
  const bool found = t.tampered("the checkpoint over 8 records is of another run");
  assert_true(found);
}

void a_checkpoint_at_another_place_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge(
      [&](Forger& f) { f.put("checkpoints", key_of(5), f.get("checkpoints", key_of(records))); });
  const bool found = t.tampered("the checkpoint over 5 records stands in the place of another");
  assert_true(found);
}

std::string stamp_over(Forger& forger, uint64_t size) {
  moat::test::Answer answer;
  answer.imprint = moat::view(moat::sha256(forger.get("checkpoints", key_of(size))));
  return answer.der();
}

void time_stamps_are_counted_with_their_times(VerifyTest& t) {
  t.whole_run();
  assert_int_equal(t.verify().timestamps, 0);
  t.forge([](Forger& f) {
    f.put("timestamps", key_of(4), stamp_over(f, 4));
    f.put("timestamps", key_of(records), stamp_over(f, records));
  });
  const bool valid = t.is(Verdict::Kind::valid);
  assert_true(valid);
  assert_int_equal(t.verdict.timestamps, 2);
  assert_int_equal(t.verdict.first_stamp_ns, 1'700'000'000'500'000'000);
  assert_int_equal(t.verdict.last_stamp_ns, 1'700'000'000'500'000'000);
}

void a_time_stamp_over_something_else_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) { f.put("timestamps", key_of(4), stamp_over(f, records)); });
  const bool swapped = t.tampered(
      "the time stamp over 4 records does not fit: the time stamp is over something else");
  assert_true(swapped);
  t.forge([](Forger& f) { f.put("timestamps", key_of(4), "token"); });
  const bool garbage = t.tampered("the time stamp over 4 records does not fit: the answer is no");
  assert_true(garbage);
}

void a_time_stamp_without_its_checkpoint_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) { f.put("timestamps", key_of(4), stamp_over(f, 4)); });
  const bool valid = t.is(Verdict::Kind::valid);
  assert_true(valid);
  for (const uint64_t size : {0, 3, 7, 9}) {
    t.forge([size](Forger& f) { f.put("timestamps", key_of(size), "token"); });
    const bool found = t.tampered("a time stamp is kept over " + std::to_string(size) + " records");
    assert_true(found);
    t.forge([size](Forger& f) { f.remove("timestamps", key_of(size)); });
  }
}

void another_key_is_found(VerifyTest& t) {
  t.whole_run();
  const auto other = need(moat::SigningKey::generate());
  const bool tampered = t.verify(other.public_pem()).kind == Verdict::Kind::tampered;
  assert_true(tampered);
  const bool says = t.verdict.problem.find("not signed by the key") != std::string::npos;
  assert_true(says);
}

void a_whole_forged_record_signed_by_another_key_is_found(VerifyTest& t) {
  t.key = need(moat::SigningKey::generate());
  const std::string trusted = t.key.public_pem();
  t.key = need(moat::SigningKey::generate());
  t.whole_run();
  const bool tampered = t.verify(trusted).kind == Verdict::Kind::tampered;
  assert_true(tampered);
}

void another_run_is_found(VerifyTest& t) {
  t.whole_run();
  t.run_id = "000000000000";
  assert_int_equal(unlink((t.directory + "/checkpoint").c_str()), 0);
  const bool found = t.tampered("record 0 is of another run");
  assert_true(found);
}

void a_bad_key_is_the_callers_mistake(VerifyTest& t) {
  t.whole_run();
  t.open();
  const auto verdict = verify_record(*t.reader, t.run_id, "-----BEGIN PUBLIC KEY-----\nx\n");
  assert_false(verdict.has_value());
}

void a_run_that_lives_verifies_while_it_is_written(VerifyTest& t) {
  t.begin();
  for (int i = 0; i < 150; ++i) {
    t.line("line\n");
    need(t.writer->append_audit("output", some_time, Json::object()));
    if (i % 40 == 0) need(t.writer->checkpoint());
  }
  need(t.writer->commit());
  const bool incomplete = t.is(Verdict::Kind::incomplete);
  assert_true(incomplete);
  assert_int_equal(t.verdict.records, 151);
  assert_int_equal(t.verdict.checkpoints, 4);
  t.end();
  const bool valid = t.is(Verdict::Kind::valid);
  assert_true(valid);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(VerifyTest, an_honest_run_is_valid),
      MOAT_TEST(VerifyTest, the_root_is_the_signed_one),
      MOAT_TEST(VerifyTest, a_run_without_an_end_is_incomplete),
      MOAT_TEST(VerifyTest, an_end_that_nobody_signed_is_incomplete),
      MOAT_TEST(VerifyTest, an_empty_record_is_incomplete),
      MOAT_TEST(TamperTest, every_bit_of_every_record_counts),
      MOAT_TEST(TamperTest, every_bit_of_every_node_counts),
      MOAT_TEST(TamperTest, every_bit_of_every_checkpoint_counts),
      MOAT_TEST(TamperTest, every_byte_of_the_file_checkpoint_counts),
      MOAT_TEST(TamperTest, every_bit_of_every_piece_of_output_counts),
      MOAT_TEST(TamperTest, every_bit_of_every_key_counts),
      MOAT_TEST(TamperTest, every_bit_of_every_exchange_counts),
      MOAT_TEST(VerifyTest, a_story_retold_breaks_the_checkpoint),
      MOAT_TEST(VerifyTest, what_is_equivalent_but_not_canonical_is_found),
      MOAT_TEST(VerifyTest, members_of_another_kind_are_found),
      MOAT_TEST(VerifyTest, a_record_that_is_too_large_is_found),
      MOAT_TEST(VerifyTest, what_a_record_of_output_says_is_held_to_what_is_kept),
      MOAT_TEST(TwoRunsTest, a_checkpoint_replayed_from_another_run_is_found),
      MOAT_TEST(TwoRunsTest, two_runs_spliced_are_found),
      MOAT_TEST(VerifyTest, a_record_retold_and_signed_by_another_key_is_found),
      MOAT_TEST(VerifyTest, a_record_changed_with_all_that_follows_breaks_the_checkpoint),
      MOAT_TEST(VerifyTest, a_record_in_another_form_is_found),
      MOAT_TEST(VerifyTest, an_additional_member_is_found),
      MOAT_TEST(VerifyTest, swapped_records_are_found),
      MOAT_TEST(VerifyTest, a_record_told_twice_is_found),
      MOAT_TEST(VerifyTest, a_missing_record_is_found),
      MOAT_TEST(VerifyTest, a_cut_end_is_found),
      MOAT_TEST(VerifyTest, an_older_copy_of_the_record_is_found),
      MOAT_TEST(VerifyTest, changed_output_is_found),
      MOAT_TEST(VerifyTest, output_of_no_stream_is_found_even_when_it_was_signed),
      MOAT_TEST(VerifyTest, a_newline_moved_from_one_piece_to_the_next_is_found),
      MOAT_TEST(VerifyTest, missing_and_additional_output_is_found),
      MOAT_TEST(VerifyTest, changed_missing_and_additional_exchanges_are_found),
      MOAT_TEST(VerifyTest, changed_missing_and_additional_nodes_are_found),
      MOAT_TEST(VerifyTest, a_checkpoint_of_another_run_is_found),
      MOAT_TEST(VerifyTest, a_checkpoint_at_another_place_is_found),
      MOAT_TEST(VerifyTest, time_stamps_are_counted_with_their_times),
      MOAT_TEST(VerifyTest, a_time_stamp_over_something_else_is_found),
      MOAT_TEST(VerifyTest, a_time_stamp_without_its_checkpoint_is_found),
      MOAT_TEST(VerifyTest, another_key_is_found),
      MOAT_TEST(VerifyTest, a_whole_forged_record_signed_by_another_key_is_found),
      MOAT_TEST(VerifyTest, another_run_is_found),
      MOAT_TEST(VerifyTest, a_bad_key_is_the_callers_mistake),
      MOAT_TEST(VerifyTest, a_run_that_lives_verifies_while_it_is_written),
  };
  return cmocka_run_group_tests_name("store/verify", tests, nullptr, nullptr);
}
