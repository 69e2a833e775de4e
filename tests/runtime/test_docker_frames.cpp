#include "runtime/docker_frames.h"

#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

using test::Nothing;

std::string frame(char stream, std::string_view payload) {
  const auto size = static_cast<uint32_t>(payload.size());
  std::string bytes = {stream, 0, 0, 0};
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  return bytes.append(payload);
}

struct Taken {
  std::string out;
  std::string err;
  bool whole = false;  // ended between two frames
  bool failed = false;
};

void take(DockerFrames& frames, std::string_view bytes, Taken& taken) {
  while (!taken.failed) {
    const auto piece = frames.next(bytes);
    taken.failed = !piece;
    if (!piece || !*piece) break;
    ((*piece)->stream == OutputStream::out ? taken.out : taken.err).append((*piece)->bytes);
  }
  taken.whole = !taken.failed && bytes.empty() && frames.at_boundary();
}

Taken take(std::string_view bytes) {
  DockerFrames frames;
  Taken taken;
  take(frames, bytes, taken);
  return taken;
}

const std::string conversation = frame(1, "hello ") + frame(2, "oh") + frame(1, "") +
                                 frame(1, std::string("w\0rld", 5)) + frame(2, " no");

void frames_are_told_apart_by_stream(Nothing&) {
  const Taken taken = take(conversation);
  const bool right =
      taken.whole && taken.out == std::string("hello w\0rld", 11) && taken.err == "oh no";
  assert_true(right);
}

void a_cut_at_any_byte_changes_nothing(Nothing&) {
  for (size_t cut = 0; cut <= conversation.size(); ++cut) {
    DockerFrames frames;
    Taken taken;
    take(frames, std::string_view(conversation).substr(0, cut), taken);
    take(frames, std::string_view(conversation).substr(cut), taken);
    const bool right =
        taken.whole && taken.out == std::string("hello w\0rld", 11) && taken.err == "oh no";
    assert_true(right);
  }
}

void byte_by_byte_is_the_same(Nothing&) {
  DockerFrames frames;
  Taken taken;
  for (const char& byte : conversation) take(frames, {&byte, 1}, taken);
  const bool right = taken.whole && taken.err == "oh no";
  assert_true(right);
}

void an_end_inside_a_frame_is_known(Nothing&) {
  for (const size_t size : {size_t{1}, size_t{7}, size_t{8}, size_t{10}}) {
    const Taken taken = take(std::string_view(conversation).substr(0, size));
    assert_false(taken.whole);
    assert_false(taken.failed);
  }
}

void what_is_no_frame_is_refused(Nothing&) {
  const std::string cases[] = {
      std::string("HTTP/1.1 200 OK\r\n\r\n"),
      std::string("plain text of a terminal"),
      std::string("\x01\x00\x00\x01\x00\x00\x00\x01x", 9),
      std::string("\x04\x00\x00\x00\x00\x00\x00\x01x", 9),
      std::string("\x03\x00\x00\x00\x00\x00\x00\x01x", 9),
      std::string("\x01\x00\x00\x00\xff\xff\xff\xff", 8),
      std::string("\x01\x00\x00\x00\x01\x00\x00\x01", 8),  // one past the limit
  };
  for (const auto& bytes : cases) {
    const Taken taken = take(bytes);
    assert_true(taken.failed);
    assert_true(taken.out.empty());
  }
}

void the_largest_frame_passes_in_pieces(Nothing&) {
  DockerFrames frames;
  Taken taken;
  take(frames, std::string_view("\x01\x00\x00\x00\x01\x00\x00\x00", 8), taken);
  const std::string piece(1024 * 1024, 'x');
  for (int i = 0; i < 16; ++i) {
    assert_false(frames.at_boundary());
    take(frames, piece, taken);
  }
  assert_true(taken.whole);
  assert_int_equal(taken.out.size(), DockerFrames::max_payload);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, frames_are_told_apart_by_stream),
      MOAT_TEST(Nothing, a_cut_at_any_byte_changes_nothing),
      MOAT_TEST(Nothing, byte_by_byte_is_the_same),
      MOAT_TEST(Nothing, an_end_inside_a_frame_is_known),
      MOAT_TEST(Nothing, what_is_no_frame_is_refused),
      MOAT_TEST(Nothing, the_largest_frame_passes_in_pieces),
  };
  return cmocka_run_group_tests_name("runtime/docker_frames", tests, nullptr, nullptr);
}
