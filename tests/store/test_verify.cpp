#include "store/verify.h"

#include <lmdb.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/evidence.h"
#include "store/merkle.h"
#include "store/note.h"
#include "store/schema.h"

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

void check(int rc) {
  if (rc != 0) throw std::runtime_error(mdb_strerror(rc));
}

// Somebody with the file and a tool for LMDB.
class Forger {
 public:
  explicit Forger(const std::string& directory) {
    check(mdb_env_create(&env_));
    mdb_env_set_maxdbs(env_, 8);
    check(mdb_env_open(env_, (directory + "/record.mdb").c_str(), MDB_NOSUBDIR, 0600));
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

void every_changed_byte_of_every_record_is_found(VerifyTest& t) {
  t.whole_run();
  for (uint64_t seq = 0; seq < records; ++seq) {
    std::string honest;
    t.forge([&](Forger& f) { honest = f.get("audit", key_of(seq)); });
    // Each byte of the first record, then a spread: each try costs two commits.
    for (size_t i = seq % 7; i < honest.size(); i += seq == 0 ? 5 : 23) {
      std::string changed = honest;
      changed[i] = static_cast<char>(changed[i] ^ 1);
      t.forge([&](Forger& f) { f.put("audit", key_of(seq), changed); });
      const bool found = t.is(Verdict::Kind::tampered);
      if (!found) print_error("record %d byte %zu\n", static_cast<int>(seq), i);
      assert_true(found);
    }
    t.forge([&](Forger& f) { f.put("audit", key_of(seq), honest); });
  }
  const bool valid = t.is(Verdict::Kind::valid);
  assert_true(valid);
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

void a_time_stamp_without_its_checkpoint_is_found(VerifyTest& t) {
  t.whole_run();
  t.forge([](Forger& f) { f.put("timestamps", key_of(4), "token"); });
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
      MOAT_TEST(VerifyTest, every_changed_byte_of_every_record_is_found),
      MOAT_TEST(VerifyTest, a_record_changed_with_all_that_follows_breaks_the_checkpoint),
      MOAT_TEST(VerifyTest, a_record_in_another_form_is_found),
      MOAT_TEST(VerifyTest, an_additional_member_is_found),
      MOAT_TEST(VerifyTest, swapped_records_are_found),
      MOAT_TEST(VerifyTest, a_record_told_twice_is_found),
      MOAT_TEST(VerifyTest, a_missing_record_is_found),
      MOAT_TEST(VerifyTest, a_cut_end_is_found),
      MOAT_TEST(VerifyTest, an_older_copy_of_the_record_is_found),
      MOAT_TEST(VerifyTest, changed_output_is_found),
      MOAT_TEST(VerifyTest, a_newline_moved_from_one_piece_to_the_next_is_found),
      MOAT_TEST(VerifyTest, missing_and_additional_output_is_found),
      MOAT_TEST(VerifyTest, changed_missing_and_additional_exchanges_are_found),
      MOAT_TEST(VerifyTest, changed_missing_and_additional_nodes_are_found),
      MOAT_TEST(VerifyTest, a_checkpoint_of_another_run_is_found),
      MOAT_TEST(VerifyTest, a_checkpoint_at_another_place_is_found),
      MOAT_TEST(VerifyTest, a_time_stamp_without_its_checkpoint_is_found),
      MOAT_TEST(VerifyTest, another_key_is_found),
      MOAT_TEST(VerifyTest, a_whole_forged_record_signed_by_another_key_is_found),
      MOAT_TEST(VerifyTest, another_run_is_found),
      MOAT_TEST(VerifyTest, a_bad_key_is_the_callers_mistake),
      MOAT_TEST(VerifyTest, a_run_that_lives_verifies_while_it_is_written),
  };
  return cmocka_run_group_tests_name("store/verify", tests, nullptr, nullptr);
}
