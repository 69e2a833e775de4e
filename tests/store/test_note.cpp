#include "store/note.h"

#include <string>
#include <utility>

#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"

namespace {

using moat::Errc;
using moat::SigningKey;
using moat::store::Checkpoint;
using moat::store::read_checkpoint;
using moat::store::write_checkpoint;
using moat::test::need;

struct NoteTest {
  SigningKey key = need(SigningKey::generate());
  SigningKey other = need(SigningKey::generate());
  std::string pem = key.public_pem();
  Checkpoint checkpoint{"moat.run/a1b2c3d4e5f6", {42, moat::sha256("root")}};
  std::string note = need(write_checkpoint(checkpoint, key));
  std::string root = moat::base64(moat::view(checkpoint.head.root));

  // What reading `text` gives: "" where it is taken.
  std::string problem(const std::string& text, Errc* code = nullptr) {
    const auto read = read_checkpoint(text, pem);
    if (!read && code != nullptr) *code = read.error().code;
    return read ? "" : read.error().message;
  }
  // Signed as it stands, whatever it says.
  std::string sign(const std::string& text) {
    const std::string id = *moat::from_hex(moat::store::note_key_id(key.public_der()));
    return text + "\n\xe2\x80\x94 moat " + moat::base64(id + need(key.sign(text))) + "\n";
  }
};

void what_is_written_reads_back(NoteTest& t) {
  const auto read = read_checkpoint(t.note, t.pem);
  assert_true(read.has_value());
  assert_string_equal(read->origin.c_str(), "moat.run/a1b2c3d4e5f6");
  assert_int_equal(read->head.size, 42);
  const bool same = read->head.root == t.checkpoint.head.root;
  assert_true(same);
  const bool by_der = read_checkpoint(t.note, t.key.public_der()).has_value();
  assert_true(by_der);
}

void the_text_is_three_lines_and_a_signature(NoteTest& t) {
  const std::string start = "moat.run/a1b2c3d4e5f6\n42\n" + t.root + "\n\n\xe2\x80\x94 moat ";
  assert_memory_equal(t.note.data(), start.data(), start.size());
  const size_t end = t.note.find('\n', start.size());
  assert_int_equal(end, t.note.size() - 1);
}

void any_changed_byte_is_noticed(NoteTest& t) {
  for (size_t i = 0; i < t.note.size(); ++i) {
    for (const int bit : {1, 32}) {
      std::string changed = t.note;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      const bool noticed = !t.problem(changed).empty();
      if (!noticed) print_error("byte %zu\n", i);
      assert_true(noticed);
    }
  }
}

void any_cut_is_noticed(NoteTest& t) {
  for (size_t size = 0; size < t.note.size(); ++size) {
    const bool noticed = !t.problem(t.note.substr(0, size)).empty();
    assert_true(noticed);
  }
  const bool longer = t.problem(t.note + "x").empty() || t.problem(t.note + "\n").empty();
  assert_false(longer);
}

void another_key_does_not_do(NoteTest& t) {
  Errc code{};
  const std::string why = t.problem(need(write_checkpoint(t.checkpoint, t.other)), &code);
  const bool told = why.find("not signed by the key") != std::string::npos;
  assert_true(told);
  const bool tampered = code == Errc::tampered;
  assert_true(tampered);
}

void a_signature_for_another_text_does_not_do(NoteTest& t) {
  std::string changed = t.note;
  changed.replace(changed.find("\n42\n"), 4, "\n43\n");
  Errc code{};
  const bool told = t.problem(changed, &code) == "the checkpoint's signature does not fit its text";
  assert_true(told);
  const bool tampered = code == Errc::tampered;
  assert_true(tampered);
}

void witnesses_may_sign_too(NoteTest& t) {
  const std::string line =
      "\xe2\x80\x94 witness.example/w1 " + moat::base64("1234signature") + "\n";
  const std::string after = t.problem(t.note + line);
  assert_string_equal(after.c_str(), "");
  std::string before = t.note;
  before.insert(before.find("\n\n") + 2, line);
  const std::string first = t.problem(before);
  assert_string_equal(first.c_str(), "");
  const bool alone = t.problem(t.note.substr(0, t.note.find("\n\n") + 2) + line).empty();
  assert_false(alone);
}

void a_witness_has_a_name_that_a_key_may_have(NoteTest& t) {
  const auto with = [&t](std::string_view name) {
    return t.note + "\xe2\x80\x94 " + std::string(name) + " " + moat::base64("1234signature") +
           "\n";
  };
  for (const char* name : {"w", "\xc3\xa9t\xc3\xa9", "a/b.c-d_e@1"}) {
    const bool taken = t.problem(with(name)).empty();
    assert_true(taken);
  }
  for (const char* name : {"", "a+b", "a\x01", "a\tb", "a\x7f", "\xff", "a\r"}) {
    const bool taken = t.problem(with(name)).empty();
    assert_false(taken);
  }
}

void only_the_exact_form_is_taken_even_when_signed(NoteTest& t) {
  const std::string& r = t.root;
  const std::string good = t.problem(t.sign("moat.run/x\n42\n" + r + "\n"));
  assert_string_equal(good.c_str(), "");
  const std::string bad[] = {
      "moat.run/x\n042\n" + r + "\n",
      "moat.run/x\n+42\n" + r + "\n",
      "moat.run/x\n\n42\n" + r + "\n",
      "moat.run/x\n-1\n" + r + "\n",
      "moat.run/x\n42 \n" + r + "\n",
      "moat.run/x\n18446744073709551616\n" + r + "\n",
      "moat.run/x\n42\n" + r + "=\n",
      "moat.run/x\n42\n" + moat::base64("short") + "\n",
      "moat.run/x\n42\n" + r + "\nextra\n",
      "moat.run/x y\n42\n" + r + "\n",
      "moat.run/x+y\n42\n" + r + "\n",
      "moat.run/x\r\n42\r\n" + r + "\r\n",
      "moat.run/\xc3\xa9\n42\n" + r + "\n",
      "42\n" + r + "\n",
      "moat.run/x\n42\n",
  };
  for (const auto& text : bad) {
    const bool taken = t.problem(t.sign(text)).empty();
    if (taken) print_error("taken: %s\n", text.c_str());
    assert_false(taken);
  }
}

void a_flood_of_signatures_is_refused(NoteTest& t) {
  std::string many = t.note;
  for (int i = 0; i < 20; ++i) many += "\xe2\x80\x94 w " + moat::base64("12345") + "\n";
  const bool taken = t.problem(many).empty();
  assert_false(taken);
  const bool huge = t.problem(t.note + std::string(1 << 20, 'x')).empty();
  assert_false(huge);
}

void an_origin_with_a_newline_is_not_signed(NoteTest& t) {
  t.checkpoint.origin = "moat.run/a\n1";
  const bool written = write_checkpoint(t.checkpoint, t.key).has_value();
  assert_false(written);
}

void the_key_id_is_as_documented(NoteTest& t) {
  const std::string id = moat::hex(moat::view(moat::sha256(t.key.public_der()))).substr(0, 8);
  const std::string got = moat::store::note_key_id(t.key.public_der());
  assert_string_equal(got.c_str(), id.c_str());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(NoteTest, what_is_written_reads_back),
      MOAT_TEST(NoteTest, the_text_is_three_lines_and_a_signature),
      MOAT_TEST(NoteTest, any_changed_byte_is_noticed),
      MOAT_TEST(NoteTest, any_cut_is_noticed),
      MOAT_TEST(NoteTest, another_key_does_not_do),
      MOAT_TEST(NoteTest, a_signature_for_another_text_does_not_do),
      MOAT_TEST(NoteTest, witnesses_may_sign_too),
      MOAT_TEST(NoteTest, only_the_exact_form_is_taken_even_when_signed),
      MOAT_TEST(NoteTest, a_flood_of_signatures_is_refused),
      MOAT_TEST(NoteTest, a_witness_has_a_name_that_a_key_may_have),
      MOAT_TEST(NoteTest, an_origin_with_a_newline_is_not_signed),
      MOAT_TEST(NoteTest, the_key_id_is_as_documented),
  };
  return cmocka_run_group_tests_name("store/note", tests, nullptr, nullptr);
}
