// Result<T>: a value, or an Error that says what was wrong, where, and what to do.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace moat {

// Why something failed, as far as a caller may want to act on it. The message
// is for people; only the code is for programs.
enum class Errc {
  invalid,    // malformed input: a file, an argument, bytes from a peer
  not_found,  // the thing named does not exist
  exists,     // it exists already
  denied,     // permission, or a policy, forbids it
  refused,    // the other side said no: connection refused, login denied
  io,         // the operating system or a library failed
  timeout,    // it took too long
  eof,        // the other side ended in good order
  closed,     // the other side ended in the middle of something
  too_large,  // a limit was reached
  full,       // no space left
  busy,       // in use by somebody else
  unsupported,
  tls,       // handshake or certificate
  dns,       // a name could not be resolved
  tampered,  // data that should prove itself does not
};

struct Error {
  Errc code = Errc::io;
  std::string message;  // one sentence without a final period or newline

  // The same error, told from one step further out: "agent.yaml: " + message.
  [[nodiscard]] Error in(const std::string& where) const { return {code, where + ": " + message}; }
};

// An Error from a printf format.
[[gnu::format(printf, 2, 3)]] Error error(Errc code, const char* format, ...);
// The same with ": " and strerror(errno) appended; the code follows from errno.
[[gnu::format(printf, 1, 2)]] Error errno_error(const char* format, ...);
// The code that stands for an errno value.
Errc errc_from_errno(int value);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error failure) : state_(std::in_place_index<1>, std::move(failure)) {}

  explicit operator bool() const { return state_.index() == 0; }
  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& value() {
    assert(has_value());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const {
    assert(has_value());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const Error& error() const {
    assert(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error failure) : error_(std::move(failure)) {}

  explicit operator bool() const { return !error_; }
  [[nodiscard]] bool has_value() const { return !error_; }
  [[nodiscard]] const Error& error() const {
    assert(error_);
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace moat
