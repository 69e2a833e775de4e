// What an operation costs: nanoseconds (the median of five rounds) and calls of malloc.
// To be included by one file of a program: it counts by standing in for malloc.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>

extern "C" {
// glibc's own names for what stands behind malloc and the others.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
}

namespace moat::bench {

inline uint64_t allocations = 0;

using Clock = std::chrono::steady_clock;

inline double nanoseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

inline void print(const char* what, double nanoseconds, double calls) {
  printf("%-44s %10.0f ns %8.1f allocations\n", what, nanoseconds, calls);
}

// `fn` is called 5 times `count` times, and once before.
template <class Fn>
void measure(const char* what, int count, Fn fn) {
  fn();
  std::array<double, 5> rounds{};
  const uint64_t before = allocations;
  for (double& round : rounds) {
    const auto start = Clock::now();
    for (int i = 0; i < count; ++i) fn();
    round = nanoseconds_since(start) / count;
  }
  const auto calls = static_cast<double>(allocations - before) / (5.0 * count);
  std::sort(rounds.begin(), rounds.end());
  print(what, rounds[2], calls);
}

// Keeps the compiler from leaving out what made `value`.
template <class T>
void use(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

}  // namespace moat::bench

extern "C" {
void* malloc(size_t size) {
  ++moat::bench::allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  ++moat::bench::allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  ++moat::bench::allocations;
  return __libc_realloc(memory, size);
}
}
