// CMocka, from C++. Include this last: cmocka.h defines `fail` and `skip` as macros, which break
// standard headers that are read after it.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <chrono>
#include <exception>
#include <string_view>

#include "core/loop.h"

extern "C" {
#include <cmocka.h>
}
#undef fail
#undef skip

namespace moat::test {

// A failed assertion leaves the test by longjmp, past every destructor. So a test's objects live
// in a fixture, which setup makes and teardown destroys even after a failure; the body holds
// references and plain values only.
template <class Fixture>
int setup(void** state) noexcept {
  try {
    *state = new Fixture;
    return 0;
  } catch (const std::exception& e) {
    print_error("setup: %s\n", e.what());
    return -1;
  }
}

template <class Fixture>
int teardown(void** state) noexcept {
  delete static_cast<Fixture*>(*state);
  return 0;
}

// No exception may reach libcmocka, which is C. The text is copied out first, so that no exception
// object is alive when _fail jumps away.
template <class Fixture, void (*Body)(Fixture&)>
void run(void** state) {
  static char thrown[256];
  thrown[0] = '\0';
  try {
    Body(*static_cast<Fixture*>(*state));
  } catch (const std::exception& e) {
    const std::string_view what = e.what();
    thrown[what.copy(thrown, sizeof thrown - 1)] = '\0';
  }
  if (thrown[0] != '\0') {
    print_error("uncaught exception: %s\n", thrown);
    _fail(__FILE__, __LINE__);
  }
}

// Turns the loop until `done`, at most `limit`: no test sleeps, none hangs. False when it was late.
template <class Done>
bool turn_until(Loop& loop, Done done, Milliseconds limit = std::chrono::seconds(5)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop.turn(Milliseconds(20));
  }
  return true;
}

struct Nothing {};

}  // namespace moat::test

#define MOAT_TEST(fixture, body)                                           \
  {                                                                        \
#body, moat::test::run < fixture, body>, moat::test::setup < fixture>, \
        moat::test::teardown < fixture>, nullptr                           \
  }
