// The examples of moat-audit(5), taken out of the page and run: a record of ours verifies without
// any code of ours, and one that was changed does not.
#include <lmdb.h>

#include <cstdlib>
#include <string>

#include "core/fd.h"
#include "core/text.h"
#include "core/timestamp.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/environment.h"

namespace {

using moat::store::Environment;
using moat::store::key_of;
using moat::store::Snapshot;
using moat::store::Table;
using moat::test::need;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

struct HandTest : moat::test::RecordTest {
  std::string page = need(moat::read_file(getenv("MOAT_AUDIT_PAGE"), 1 << 20));

  // The example that begins with `first`, as a reader sees it.
  std::string example(std::string_view first) {
    const std::string begin = ".Bd -literal -offset indent\n" + std::string(first);
    const size_t at = page.find(begin) + begin.size() - first.size();
    std::string text = page.substr(at, page.find(".Ed\n", at) - at);
    replace_all(text, "\\-", "-");
    replace_all(text, "\\e", "\\");
    return text;
  }
  // As mdb_dump(1) does.
  void dump(const char* file, Table table) {
    std::string text = "VERSION=3\nformat=bytevalue\ntype=btree\nHEADER=END\n";
    auto environment = need(Environment::open_to_read(directory + "/record.mdb"));
    need(environment->read([&](const Snapshot& snapshot) {
      return snapshot.scan(table, "", [&](auto name, auto value) {
        text += " " + moat::hex(name) + "\n " + moat::hex(value) + "\n";
        return true;
      });
    }));
    text += "DATA=END\n";
    need(moat::write_file_atomically(directory + "/" + file + ".dump", text, 0600));
  }
  void prepare() {
    whole_run();
    need(moat::write_file_atomically(directory + "/key.pub", key.public_pem(), 0600));
    need(moat::write_file_atomically(directory + "/verify.py", example("import"), 0600));
    need(moat::write_file_atomically(directory + "/verify.sh", "set -e\n" + example("head"), 0600));
  }
  bool run(const std::string& command) {
    dump("audit", Table::audit);
    dump("output", Table::output);
    return system(("cd '" + directory + "' && " + command + " >out 2>&1").c_str()) == 0;
  }
  std::string said() { return need(moat::read_file(directory + "/out", 65536)); }
  // As somebody would with a tool for LMDB.
  void overwrite(const char* table, uint64_t number, std::string value) {
    std::string key_bytes = key_of(number);
    MDB_val k{key_bytes.size(), key_bytes.data()};
    MDB_val v{value.size(), value.data()};
    MDB_env* env = nullptr;
    MDB_txn* txn = nullptr;
    MDB_dbi dbi = 0;
    mdb_env_create(&env);
    mdb_env_set_maxdbs(env, 8);
    mdb_env_open(env, (directory + "/record.mdb").c_str(), MDB_NOSUBDIR, 0600);
    mdb_txn_begin(env, nullptr, 0, &txn);
    mdb_dbi_open(txn, table, 0, &dbi);
    mdb_put(txn, dbi, &k, &v, 0);
    mdb_txn_commit(txn);
    mdb_env_close(env);
  }
};

bool have(const char* program) {
  const bool there = system(("command -v " + std::string(program) + " >/dev/null").c_str()) == 0;
  if (!there) print_message("# not tried: there is no %s here\n", program);
  return there;
}

void the_program_of_the_page_verifies_a_record(HandTest& t) {
  if (!have("python3")) return;
  t.prepare();
  const bool verified = t.run("python3 verify.py");
  const std::string said = t.said();
  if (!verified) print_error("%s\n", said.c_str());
  assert_true(verified);
  assert_string_equal(said.c_str(), "8 of 8 records fit, the last is run.ended\n");
}

void the_program_of_the_page_notices_changes(HandTest& t) {
  if (!have("python3")) return;
  t.prepare();
  t.overwrite("output", 1, std::string(9, '\1') + "forged\n");
  const bool output = t.run("python3 verify.py");
  assert_false(output);
}

void openssl_takes_the_signature_and_notices_another_text(HandTest& t) {
  if (!have("openssl")) return;
  t.prepare();
  const bool signed_ = t.run("sh verify.sh");
  const std::string said = t.said();
  assert_string_equal(said.c_str(), "Verified OK\n");
  assert_true(signed_);
  std::string note = need(moat::read_file(t.directory + "/checkpoint", 4096));
  replace_all(note, "\n8\n", "\n9\n");
  need(moat::write_file_atomically(t.directory + "/checkpoint", note, 0600));
  const bool still = t.run("sh verify.sh");
  assert_false(still);
}

// The authority is openssl's own, which says that it is well.
void openssl_takes_the_time_stamp_and_notices_another_checkpoint(HandTest& t) {
  if (!have("openssl")) return;
  t.begin();
  t.end();
  const std::string note = t.writer->committed_head()->note;
  const std::string tsa = getenv("MOAT_TSA");
  const auto query = moat::timestamp_request(moat::sha256(note)).der;
  need(moat::write_file_atomically(t.directory + "/query", query, 0600));
  const std::string make = tsa + " make '" + t.directory + "/tsa' && " + tsa + " reply '" +
                           t.directory + "/tsa' <'" + t.directory + "/query' >'" + t.directory +
                           "/reply' && cp '" + t.directory + "/tsa/root.pem' '" + t.directory + "'";
  const bool made = system(make.c_str()) == 0;
  assert_true(made);
  need(t.writer->append_timestamp(t.writer->committed_head()->head.size,
                                  need(moat::read_file(t.directory + "/reply", 65536))));
  need(t.writer->commit());
  t.writer.reset();
  t.dump("timestamps", Table::timestamps);
  need(moat::write_file_atomically(t.directory + "/stamp.sh", "set -e\n" + t.example("tail \\-n 2"),
                                   0600));
  const bool verified = t.run("sh stamp.sh");
  const std::string said = t.said();
  if (!verified) print_error("%s\n", said.c_str());
  assert_true(verified);
  const bool ok = said.find("Verification: OK\n") != std::string::npos &&
                  said.find("\nTime stamp: ") != std::string::npos;
  assert_true(ok);
  std::string other = note;
  other.back() = ' ';
  need(moat::write_file_atomically(t.directory + "/checkpoint", other, 0600));
  const bool still = t.run("sh stamp.sh");
  assert_false(still);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(HandTest, the_program_of_the_page_verifies_a_record),
      MOAT_TEST(HandTest, the_program_of_the_page_notices_changes),
      MOAT_TEST(HandTest, openssl_takes_the_signature_and_notices_another_text),
      MOAT_TEST(HandTest, openssl_takes_the_time_stamp_and_notices_another_checkpoint),
  };
  return cmocka_run_group_tests_name("store/hand_verification", tests, nullptr, nullptr);
}
