#include "store/bundle.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/merkle.h"
#include "store/note.h"
#include "store/proof.h"

namespace {

using moat::Digest;
using moat::Errc;
using moat::Json;
using moat::store::BundleVerdict;
using moat::store::BundleVerifier;
using moat::store::read_checkpoint;
using moat::store::Verdict;
using moat::store::write_checkpoint;
using moat::test::need;
using moat::test::one;
using moat::test::RecordTest;
using moat::test::some_time;

constexpr uint64_t records = 8;  // of whole_run()

struct BundleTest : RecordTest {
  BundleVerdict verdict;

  void whole() {
    whole_run();
    open();
  }
  std::string bundle(uint64_t from = 0, std::optional<uint64_t> to = std::nullopt) {
    std::string text;
    const moat::store::BundleSink sink = {[&](std::string_view bytes) {
                                            text.append(bytes);
                                            return moat::Result<void>();
                                          },
                                          {}};
    need(write_bundle(*reader, "a1b2c3d4e5f6", from, to, sink));
    return text;
  }
  const BundleVerdict& verify(std::string_view text) { return verify(text, key.public_der()); }
  const BundleVerdict& verify(std::string_view text, const std::string& public_key) {
    BundleVerifier verifier(public_key);
    verifier.feed(text);
    verdict = verifier.finish();
    return verdict;
  }
  bool is(Verdict::Kind kind, std::string_view text) {
    const bool same = verify(text).kind == kind;
    if (!same) print_error("the verdict was: %s\n", verdict.problem.c_str());
    return same;
  }
  bool valid(std::string_view text) { return is(Verdict::Kind::valid, text); }
  bool tampered(std::string_view text, std::string_view says = {}) {
    const bool found = verify(text).kind == Verdict::Kind::tampered && !verdict.problem.empty() &&
                       verdict.problem.find(says) != std::string::npos;
    if (!found) print_error("the verdict was: %s\n", verdict.problem.c_str());
    return found;
  }
};

// With their newlines.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at) + 1;
    lines.push_back(text.substr(at, end - at));
    at = end;
  }
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

// The same with an end that counts right: whoever changes a bundle can count.
std::string counted(std::vector<std::string> lines) {
  lines.back() = "{\"end\":" + std::to_string(lines.size() - 1) + "}\n";
  return joined(lines);
}

size_t index_of(const std::vector<std::string>& lines, std::string_view part) {
  const auto found = std::find_if(lines.begin(), lines.end(), [&](const std::string& line) {
    return line.find(part) != std::string::npos;
  });
  return static_cast<size_t>(found - lines.begin());
}

void the_whole_of_a_run_is_valid(BundleTest& t) {
  t.whole();
  const bool valid = t.valid(t.bundle());
  assert_true(valid && t.verdict.whole());
  assert_string_equal(t.verdict.problem.c_str(), "");
  assert_string_equal(t.verdict.run.c_str(), "a1b2c3d4e5f6");
  assert_int_equal(t.verdict.records, records);
  assert_int_equal(t.verdict.output, 3);
  assert_int_equal(t.verdict.exchanges, 2);
  assert_int_equal(t.verdict.checkpoints, 2);
  assert_int_equal(t.verdict.timestamps, 0);
  assert_string_equal(t.verdict.first_time.c_str(), "2023-11-14T22:13:20.123456Z");
}

void every_stretch_is_valid(BundleTest& t) {
  t.whole();
  for (uint64_t from = 0; from < records; ++from) {
    for (uint64_t to = from + 1; to <= records; ++to) {
      const bool valid = t.valid(t.bundle(from, to));
      assert_true(valid);
      assert_int_equal(t.verdict.records, to - from);
      const bool whole = t.verdict.whole();
      assert_true(whole == (from == 0 && to == records));
    }
  }
}

void every_stretch_of_a_longer_run_is_valid(BundleTest& t) {
  t.begin();
  for (int i = 0; i < 20; ++i) t.exchange("example.com");
  need(t.writer->checkpoint());
  need(t.writer->commit());
  t.open();
  for (uint64_t from = 1; from < 21; from += 3) {
    for (uint64_t to = from + 1; to <= 21; to += 2) {
      const bool valid = t.valid(t.bundle(from, to));
      assert_true(valid);
    }
  }
}

void a_run_without_an_end_is_incomplete(BundleTest& t) {
  t.begin();
  t.line("and then\n");
  need(t.writer->append_audit("output", some_time, Json::object()));
  need(t.writer->checkpoint());
  t.exchange("not.signed.yet");
  need(t.writer->commit());
  t.open();
  const bool incomplete = t.is(Verdict::Kind::incomplete, t.bundle());
  assert_true(incomplete);
  assert_int_equal(t.verdict.records, 2);
  // Of a stretch nobody says that it goes to the end.
  const bool valid = t.valid(t.bundle(1));
  assert_true(valid);
}

void what_is_not_signed_is_not_written(BundleTest& t) {
  t.begin();
  need(t.writer->commit());
  t.open();
  const moat::store::BundleSink sink = {[](std::string_view) { return moat::Result<void>(); }, {}};
  const auto code = [&](uint64_t from, std::optional<uint64_t> to) {
    const auto written = write_bundle(*t.reader, "a1b2c3d4e5f6", from, to, sink);
    return written ? Errc::busy : written.error().code;
  };
  const bool none = code(0, std::nullopt) == Errc::not_found;
  need(t.writer->checkpoint());
  need(t.writer->commit());
  const bool beyond = code(0, 2) == Errc::not_found && code(1, std::nullopt) == Errc::not_found;
  const bool empty = code(0, 0) == Errc::invalid;
  assert_true(none && beyond && empty);
}

void a_failing_sink_ends_it(BundleTest& t) {
  t.whole();
  int calls = 0;
  const moat::store::BundleSink sink = {[&](std::string_view) -> moat::Result<void> {
                                          if (++calls < 5) return {};
                                          return moat::error(Errc::full, "full");
                                        },
                                        {}};
  const auto written = write_bundle(*t.reader, "a1b2c3d4e5f6", 0, std::nullopt, sink);
  const bool told = !written && written.error().code == Errc::full;
  assert_true(told);
  assert_int_equal(calls, 5);
}

void bytes_may_come_one_by_one(BundleTest& t) {
  t.whole();
  const std::string text = t.bundle();
  BundleVerifier verifier(t.key.public_der());
  for (const char c : text) verifier.feed({&c, 1});
  const bool valid = verifier.finish().kind == Verdict::Kind::valid;
  assert_true(valid);
}

void any_flipped_bit_is_found(BundleTest& t) {
  t.whole();
  // Each byte of a stretch with output, exchanges and a checkpoint; and of the whole some.
  for (const auto& [text, step] : {std::pair(t.bundle(1, 5), 3), std::pair(t.bundle(), 61)}) {
    for (size_t bit = 0; bit < text.size() * 8; bit += static_cast<size_t>(step)) {
      std::string changed = text;
      changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
      const bool found = t.verify(changed).kind == Verdict::Kind::tampered;
      if (!found)
        print_error("bit %d of byte %d\n", static_cast<int>(bit % 8), static_cast<int>(bit / 8));
      assert_true(found);
    }
  }
}

void any_cut_is_found(BundleTest& t) {
  t.whole();
  const std::string text = t.bundle();
  for (size_t size = 0; size < text.size(); size += size + 60 < text.size() ? 29 : 1) {
    const bool found = t.verify(text.substr(0, size)).kind == Verdict::Kind::tampered;
    assert_true(found);
  }
  const bool after = t.tampered(text + "{}\n", "comes after") && t.tampered(text + "\n") &&
                     t.tampered(text + "x", "cut off") && t.tampered(text + text);
  assert_true(after);
}

// A checkpoint that is left out adds nothing and is not missed; all else is.
bool may_be_left_out(const std::string& line) {
  return line.starts_with("{\"checkpoint\"");
}

void lines_dropped_doubled_or_swapped_are_found(BundleTest& t) {
  t.whole();
  for (const std::string& text : {t.bundle(), t.bundle(2, 7)}) {
    const auto lines = lines_of(text);
    for (size_t i = 0; i + 1 < lines.size(); ++i) {
      auto dropped = lines;
      dropped.erase(dropped.begin() + static_cast<std::ptrdiff_t>(i));
      const bool missed = t.tampered(joined(dropped));
      assert_true(missed);
      const bool as_it_should =
          t.verify(counted(dropped)).kind ==
          (may_be_left_out(lines[i]) ? Verdict::Kind::valid : Verdict::Kind::tampered);
      assert_true(as_it_should);
      auto doubled = lines;
      doubled.insert(doubled.begin() + static_cast<std::ptrdiff_t>(i), lines[i]);
      const bool seen = t.tampered(counted(doubled));
      assert_true(seen);
      for (size_t j = i + 1; j < lines.size(); ++j) {
        auto swapped = lines;
        std::swap(swapped[i], swapped[j]);
        const bool found = t.tampered(joined(swapped));
        assert_true(found);
      }
    }
  }
}

void a_header_that_lies_is_found(BundleTest& t) {
  t.whole();
  const auto lines = lines_of(t.bundle(2, 7));
  const std::string root = moat::base64(std::string(32, 'x'));
  const std::function<void(Json&)> lies[] = {
      [](Json& header) { header.set("bundle", 1); },
      [](Json& header) { header.set("from", 1); },
      [](Json& header) { header.set("from", 3); },
      [](Json& header) { header.set("from", 0).set("left", Json::array()); },
      [](Json& header) { header.set("to", 6); },
      [](Json& header) { header.set("to", 8).set("right", Json::array()); },
      [](Json& header) { header.set("to", 2); },
      [](Json& header) { header.set("size", 7).set("right", Json::array()); },
      [](Json& header) { header.set("size", 9); },
      [](Json& header) { header.set("size", int64_t{1} << 52); },
      [](Json& header) { header.set("size", "8"); },
      [](Json& header) { header.set("size", -8); },
      [](Json& header) { header.set("run", "a1b2c3d4e5f7"); },
      [](Json& header) { header.set("run", 5); },
      [](Json& header) { header.set("checkpoint", "nonsense"); },
      [](Json& header) { header.set("checkpoint", Json()); },
      [](Json& header) { header.set("left", Json::array()); },
      [&](Json& header) { header.set("left", Json::array().add(root)); },
      [&](Json& header) { header.set("right", Json::array().add(root)); },
      [&](Json& header) { header.set("right", Json::array().add(root).add(root)); },
      [](Json& header) { header.set("right", Json::array().add("AAAA")); },
      [](Json& header) { header.set("right", Json::array().add(1)); },
      [](Json& header) { header.set("right", "x"); },
      [](Json& header) { header.set("more", 1); },
      [](Json& header) { header = Json::object(); },
      [](Json& header) { header = Json::array(); },
  };
  for (const auto& lie : lies) {
    Json header = need(Json::parse(lines.front()));
    lie(header);
    auto changed = lines;
    changed.front() = header.canonical() + "\n";
    const bool found = t.tampered(joined(changed));
    if (!found) print_error("%s\n", changed.front().c_str());
    assert_true(found);
  }
  auto spaced = lines;
  spaced.front().insert(1, " ");
  const bool strict = t.tampered(joined(spaced));
  assert_true(strict);
}

void another_key_or_run_is_found(BundleTest& t) {
  t.whole();
  const std::string text = t.bundle();
  const auto other = need(moat::SigningKey::generate());
  const bool key = t.verify(text, other.public_der()).kind == Verdict::Kind::tampered &&
                   t.verdict.problem.find("not signed by the key") != std::string::npos;
  assert_true(key);

  // The header's checkpoint replaced by one of another run, rightly signed over the same root.
  const auto checkpoint =
      need(read_checkpoint(need(t.reader->checkpoints()).back(), t.key.public_der()));
  auto lines = lines_of(text);
  Json header = need(Json::parse(lines.front()));
  header.set("checkpoint", need(write_checkpoint({"moat.run/b", checkpoint.head}, t.key)));
  lines.front() = header.canonical() + "\n";
  const bool run = t.tampered(joined(lines), "of another run");
  // And by one of this run over another root.
  header.set("checkpoint", need(write_checkpoint({checkpoint.origin, {records, Digest{}}}, t.key)));
  lines.front() = header.canonical() + "\n";
  const bool root = t.tampered(joined(lines), "signed over other records");
  // And one in the stretch.
  lines = lines_of(text);
  const size_t at = index_of(lines, "{\"checkpoint\"");
  Json line = need(Json::parse(lines[at]));
  line.set("checkpoint", need(write_checkpoint({checkpoint.origin, {4, Digest{}}}, t.key)));
  lines[at] = line.canonical() + "\n";
  const bool inner = t.tampered(joined(lines), "the checkpoint over 4 records was signed over");
  assert_true(run && root && inner);
}

void records_changed_are_named(BundleTest& t) {
  t.whole();
  const auto lines = lines_of(t.bundle());
  const auto with = [&](std::string_view from, std::string_view to) {
    auto changed = lines;
    const size_t at = index_of(lines, from);
    changed[at].replace(changed[at].find(from), from.size(), to);
    return joined(changed);
  };
  const bool next =
      t.tampered(with("api.github.com", "api.github.org"), "record 3 does not continue record 2");
  assert_true(next);
  assert_int_equal(t.verdict.problem_seq.value_or(99), 3);
  const bool run = t.tampered(with("\"run\":\"a1b2c3d4e5f6\",\"seq\":4",
                                   "\"run\":\"a1b2c3d4e5f7\""
                                   ",\"seq\":4"),
                              "record 4 is of another run");
  const bool last = t.tampered(with("\"status\":0", "\"status\":1"), "signed over other records");
  const bool piece = t.tampered(with("\"output\":1", "\"output\":2"), "another piece");
  const bool bytes = t.tampered(with(moat::base64("first line\n"), moat::base64("worst line\n")),
                                "record 1 does not fit the output before it");
  const bool stream = t.tampered(with("\"stream\":2", "\"stream\":1"), "record 1 does not fit");
  const bool time = t.tampered(with("\"time\":\"17", "\"time\":\"18"), "record 1 does not fit");
  const bool zero = t.tampered(with("\"time\":\"17", "\"time\":\"017"), "not a piece of output");
  assert_true(run && last && piece && bytes && stream && time && zero);
}

void output_of_nobody_is_found(BundleTest& t) {
  t.whole();
  const auto lines = lines_of(t.bundle());
  const std::string piece = R"({"bytes":"eA==","output":3,"stream":1,"time":"1"})"
                            "\n";
  for (const std::string_view before :
       {"run.ended", "\"exchange\"", "{\"checkpoint\"", "{\"end\""}) {
    auto changed = lines;
    changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(index_of(lines, before)), piece);
    const bool found = t.tampered(counted(changed));
    assert_true(found);
  }
}

void time_stamps_stand_after_their_checkpoint(BundleTest& t) {
  t.whole();
  const auto lines = lines_of(t.bundle());
  const size_t at = index_of(lines, "{\"checkpoint\"") + 1;
  const auto with = [&](const std::string& line, size_t where) {
    auto changed = lines;
    changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(where), line);
    return counted(changed);
  };
  const Json checkpoint = need(Json::parse(lines[at - 1]));
  const std::string size = std::to_string(checkpoint["size"].integer());
  const std::string stamp = "{\"size\":" + size + ",\"timestamp\":\"AAAA\"}\n";
  const bool taken = t.valid(with(stamp, at));
  assert_true(taken);
  assert_int_equal(t.verdict.timestamps, 1);
  const bool elsewhere = t.tampered(with(stamp, at - 1)) && t.tampered(with(stamp, at + 1)) &&
                         t.tampered(with(stamp, 1)) && t.tampered(with(stamp + stamp, at));
  const bool other = t.tampered(with("{\"size\":1,\"timestamp\":\"AAAA\"}\n", at)) &&
                     t.tampered(with("{\"size\":" + size + ",\"timestamp\":\"\"}\n", at)) &&
                     t.tampered(with("{\"size\":" + size + ",\"timestamp\":\"*\"}\n", at)) &&
                     t.tampered(with("{\"size\":" + size + "}\n", at));
  assert_true(elsewhere && other);
}

void nothing_follows_the_end_of_a_run(BundleTest& t) {
  t.whole();
  // A tree that goes on after run.ended, signed by the key itself.
  auto lines = lines_of(t.bundle());
  const auto checkpoint =
      need(read_checkpoint(need(t.reader->checkpoints()).back(), t.key.public_der()));
  const Digest more = moat::sha256("more");
  Json header = need(Json::parse(lines.front()));
  header.set("size", records + 1)
      .set("right", Json::array().add(moat::base64(moat::view(more))))
      .set("checkpoint", need(write_checkpoint(
                             {checkpoint.origin,
                              {records + 1, moat::store::node_hash(checkpoint.head.root, more)}},
                             t.key)));
  lines.front() = header.canonical() + "\n";
  const bool found = t.tampered(joined(lines), "record 7 ends the run");
  assert_true(found);
}

void what_is_no_bundle_is_refused(BundleTest& t) {
  t.whole();
  const std::string long_line(3 * 1024 * 1024, 'x');
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("x"), std::string("{}\n"),
        std::string("[]\n"), std::string("{\"bundle\":2}\n"), std::string(1, '\0') + "\n"}) {
    const bool refused = t.tampered(text);
    assert_true(refused);
  }
  const bool long_ones = t.tampered(long_line, "longer than any") &&
                         t.tampered(lines_of(t.bundle()).front() + long_line, "longer than any") &&
                         t.tampered(lines_of(t.bundle()).front() + long_line + "\n");
  assert_true(long_ones);
  const bool nested =
      t.tampered(lines_of(t.bundle()).front() + "{\"data\":" + std::string(100'000, '[') + "\n");
  assert_true(nested);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(BundleTest, the_whole_of_a_run_is_valid),
      MOAT_TEST(BundleTest, every_stretch_is_valid),
      MOAT_TEST(BundleTest, every_stretch_of_a_longer_run_is_valid),
      MOAT_TEST(BundleTest, a_run_without_an_end_is_incomplete),
      MOAT_TEST(BundleTest, what_is_not_signed_is_not_written),
      MOAT_TEST(BundleTest, a_failing_sink_ends_it),
      MOAT_TEST(BundleTest, bytes_may_come_one_by_one),
      MOAT_TEST(BundleTest, any_flipped_bit_is_found),
      MOAT_TEST(BundleTest, any_cut_is_found),
      MOAT_TEST(BundleTest, lines_dropped_doubled_or_swapped_are_found),
      MOAT_TEST(BundleTest, a_header_that_lies_is_found),
      MOAT_TEST(BundleTest, another_key_or_run_is_found),
      MOAT_TEST(BundleTest, records_changed_are_named),
      MOAT_TEST(BundleTest, output_of_nobody_is_found),
      MOAT_TEST(BundleTest, time_stamps_stand_after_their_checkpoint),
      MOAT_TEST(BundleTest, nothing_follows_the_end_of_a_run),
      MOAT_TEST(BundleTest, what_is_no_bundle_is_refused),
  };
  return cmocka_run_group_tests_name("store/bundle", tests, nullptr, nullptr);
}
