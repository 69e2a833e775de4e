// A power cut at any moment leaves a record that opens, and holds exactly the commits up to one of
// them: none that had returned is missing, and no other is there in parts.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "power_cut.h"
#include "store/note.h"
#include "store/schema.h"
#include "store/verify.h"

namespace {

using moat::Digest;
using moat::Json;
using moat::store::RecordReader;
using moat::store::RecordWriter;
using moat::store::Verdict;
using moat::test::Call;
using moat::test::Disk;
using moat::test::need;
using moat::test::one;
using moat::test::Platter;
using moat::test::RecordTest;
using moat::test::some_time;

constexpr int commits = 70;
constexpr size_t cuts = 170;
constexpr const char* run_id = "a1b2c3d4e5f6";

// All that a record says, for comparison.
struct Content {
  std::vector<std::string> output, exchanges, spans, audit, checkpoints, nodes;
  std::string state;

  static Content read(RecordReader& reader) {
    Content all;
    for (const auto& piece : need(reader.output(0, SIZE_MAX)))
      all.output.push_back(std::to_string(piece.time_ns) + std::to_string(piece.stream) +
                           piece.bytes);
    for (const auto seq : need(reader.exchange_seqs(0, SIZE_MAX)))
      all.exchanges.push_back(std::to_string(seq));
    all.spans = need(reader.spans(0, SIZE_MAX));
    for (const auto& record : need(reader.audit(0, SIZE_MAX))) all.audit.push_back(record.json);
    for (const auto& [size, note] : need(reader.checkpoints(0, SIZE_MAX)))
      all.checkpoints.push_back(std::to_string(size) + note);
    for (int level = 0; level < 64; ++level)
      for (const Digest& hash : need(reader.nodes(level, 0, SIZE_MAX)))
        all.nodes.push_back(std::to_string(level) + moat::hex(moat::view(hash)));
    const auto state = need(reader.meta("state"));
    if (state) all.state = state->text();
    return all;
  }
  bool operator==(const Content&) const = default;
};

struct PowerCut : RecordTest {
  std::minstd_rand random{seed()};
  size_t created = 0;                   // calls until then
  std::vector<size_t> returned;         // how many calls had been made when each commit returned
  std::vector<Content> contents;        // what each commit made visible
  std::vector<uint64_t> heads_on_disk;  // size of the tree of the file checkpoint, likewise
  Platter platter;
  ino_t record = 0;
  std::string image = temp.path + "/image";

  static unsigned seed() {
    const char* const given = getenv("MOAT_SEED");
    static const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given))
                                                  : static_cast<unsigned>(getpid());
    return seed;
  }

  // A run with all that a record may see, from its creation on.
  void live() {
    directory = temp.path + "/run";
    assert_int_equal(mkdir(directory.c_str(), 0700), 0);
    Disk::watch(directory);
    create();
    created = Disk::calls.size();
    const bool named = std::any_of(Disk::calls.begin(), Disk::calls.end(), [](const Call& call) {
      return call.kind == Call::sync_directory;
    });
    assert_true(named);  // else the file itself could be missing
    need(writer->append_audit("run.created", some_time, one("image", "host")));
    for (int i = 0; i < commits; ++i) {
      do_something(i);
      const bool signs = i % 7 == 3;
      if (signs) need(writer->checkpoint());
      need(writer->commit());
      heads_on_disk.push_back(signs                   ? writer->audit_size()
                              : heads_on_disk.empty() ? 0
                                                      : heads_on_disk.back());
      returned.push_back(Disk::calls.size());
      Disk::look_away();
      open();
      contents.push_back(Content::read(*reader));
      reader.reset();
      Disk::go_on();
    }
    writer.reset();
    Disk::look_away();
    struct stat info {};
    assert_int_equal(stat((directory + "/record.mdb").c_str(), &info), 0);
    record = info.st_ino;
  }
  void do_something(int i) {
    const size_t much = i % 40 == 20 ? 60 : 1;  // so that the environment is opened anew
    for (size_t n = 0; n < much * (1 + random() % 3); ++n)
      line(
          std::string(1 + random() % (n % 4 == 0 ? 12'000 : 200), static_cast<char>('a' + i % 26)));
    if (i % 2 == 0) need(writer->append_audit("output", some_time, Json::object()));
    for (size_t n = 0; n < random() % 9; ++n) exchange("host-" + std::to_string(i));
    if (i % 5 == 0) need(writer->append_span(one("name", std::string(random() % 5000, 's'))));
    // Replaced in place, at times on pages of its own, and those before they were ever written.
    if (i % 3 == 0) need(writer->set_meta("state", std::string(random() % 40'000, 'x')));
    need(writer->set_meta("state", std::string(random() % 9000, static_cast<char>('a' + i % 26))));
  }

  void put(const std::string& name, const std::string& bytes) const {
    const std::string path = image + "/" + name;
    unlink(path.c_str());
    const moat::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    // The hole at the end stays one.
    static const std::string zeros(4096, '\0');
    size_t used = bytes.size();
    while (used >= zeros.size() && bytes.compare(used - zeros.size(), zeros.size(), zeros) == 0)
      used -= zeros.size();
    need(moat::write_all(fd.get(), std::string_view(bytes).substr(0, used)));
    assert_int_equal(ftruncate(fd.get(), static_cast<off_t>(bytes.size())), 0);
  }
  // The first commit that may be the last one.
  [[nodiscard]] size_t acknowledged(size_t calls) const {
    return static_cast<size_t>(std::upper_bound(returned.begin(), returned.end(), calls) -
                               returned.begin());
  }

  void check_record(size_t calls, unsigned how) {
    put("record.mdb", platter.image(record, how, random));
    unlink((image + "/record.mdb-lock").c_str());
    const std::string where =
        moat::format("MOAT_SEED=%u: after call %zu, in way %u: ", seed(), calls, how);
    auto found = RecordReader::open(image);
    if (!found) throw std::runtime_error(where + found.error().message);
    const Content content = Content::read(**found);
    const size_t least = acknowledged(calls);
    // Of commit `least`, which was going on, all may be there already.
    const bool kept = least > 0 && content == contents[least - 1];
    const bool next = least < contents.size() && content == contents[least];
    const bool nothing = least == 0 && content == Content();
    if (!kept && !next && !nothing)
      throw std::runtime_error(where + moat::format("commit %zu is not what is there", least));
  }
  void check_checkpoint(size_t calls) {
    const size_t least = acknowledged(calls);
    for (const auto& file : platter.called("checkpoint")) {
      const uint64_t promised = least == 0 ? 0 : heads_on_disk[least - 1];
      if (!file && promised == 0) continue;
      assert_true(file.has_value());
      for (unsigned how = 0; how < 5; ++how) {
        const auto head =
            moat::store::read_checkpoint(platter.image(*file, how, random), key.public_pem());
        const bool whole = head && head->head.size >= promised;
        assert_true(whole);
      }
    }
  }
  // The next command goes on from there.
  void check_resume(size_t calls) {
    put("record.mdb", platter.image(record, 4, random));
    unlink((image + "/record.mdb-lock").c_str());
    {
      auto resumed = need(RecordWriter::resume(image, run_id, key));
      if (resumed->audit_size() == 0) return;
      need(resumed->append_audit("run.lost", some_time, Json::object()));
      need(resumed->checkpoint());
      need(resumed->commit());
    }
    auto found = need(RecordReader::open(image));
    const Verdict verdict = need(verify_record(*found, run_id, key.public_pem()));
    const bool lost =
        verdict.kind == Verdict::Kind::incomplete && verdict.signed_size == verdict.records &&
        verdict.records > contents[std::max<size_t>(acknowledged(calls), 1) - 1].audit.size();
    if (!lost) throw std::runtime_error(verdict.problem);
    unlink((image + "/checkpoint").c_str());
  }
};

void a_power_cut_leaves_whole_commits(PowerCut& t) {
  print_message("# MOAT_SEED=%u\n", PowerCut::seed());
  t.live();
  assert_int_equal(mkdir(t.image.c_str(), 0700), 0);
  const size_t all = Disk::calls.size();
  assert_true(all > cuts);
  const size_t one_in = all / cuts;
  size_t looked_at = 0;
  for (size_t calls = 0; calls < all; ++calls) {
    t.platter.apply(Disk::calls[calls]);
    if (calls < t.created) continue;
    const bool after_commit = std::binary_search(t.returned.begin(), t.returned.end(), calls + 1);
    if (!after_commit && t.random() % one_in != 0) continue;
    t.check_record(calls + 1, after_commit ? 0 : t.random() % 5);
    t.check_checkpoint(calls + 1);
    if (++looked_at % 20 == 0) t.check_resume(calls + 1);
  }
  assert_true(looked_at > cuts / 2);
}

}  // namespace

int main() {
  // No disk is needed for this, and it would be busy for nothing.
  if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
  const CMUnitTest tests[] = {
      MOAT_TEST(PowerCut, a_power_cut_leaves_whole_commits),
  };
  return cmocka_run_group_tests_name("store/power_cut", tests, nullptr, nullptr);
}
