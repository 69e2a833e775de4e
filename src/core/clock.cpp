#include "core/clock.h"

#include <ctime>

#include "core/text.h"

namespace moat {
namespace {

constexpr int64_t ns_per_second = 1'000'000'000;

int64_t read_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<int64_t>(now.tv_sec) * ns_per_second + now.tv_nsec;
}

class SystemClock final : public Clock {
 public:
  [[nodiscard]] int64_t wall_ns() const override { return read_clock(CLOCK_REALTIME); }
  [[nodiscard]] int64_t monotonic_ns() const override { return read_clock(CLOCK_MONOTONIC); }
};

bool is_leap(int year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int days_in(int year, int month) {
  constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

// Takes a timestamp apart from the left.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  // Exactly `width` digits, within [low, high].
  bool number(size_t width, int low, int high, int& value) {
    if (rest_.size() < width) return false;
    const auto parsed = parse_number(rest_.substr(0, width), static_cast<uint64_t>(low),
                                     static_cast<uint64_t>(high));
    if (!parsed) return false;
    value = static_cast<int>(*parsed);
    rest_.remove_prefix(width);
    return true;
  }
  bool one_of(std::string_view characters) {
    if (rest_.empty() || characters.find(rest_[0]) == std::string_view::npos) return false;
    taken_ = rest_[0];
    rest_.remove_prefix(1);
    return true;
  }
  // One digit or more; those past the ninth are cut off.
  bool fraction(int64_t& ns) {
    size_t digits = 0;
    int64_t unit = ns_per_second;
    for (ns = 0; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits) {
      unit /= 10;
      ns += (rest_[digits] - '0') * unit;
    }
    rest_.remove_prefix(digits);
    return digits > 0;
  }
  [[nodiscard]] char taken() const { return taken_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  char taken_ = '\0';
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string rfc3339(int64_t wall_ns) {
  int64_t seconds = wall_ns / ns_per_second;
  int64_t ns = wall_ns % ns_per_second;
  if (ns < 0) {
    ns += ns_per_second;
    --seconds;
  }
  const auto when = static_cast<time_t>(seconds);
  tm parts{};
  gmtime_r(&when, &parts);
  std::string text = "0000-00-00T00:00:00.000000Z";
  const auto put = [&text](size_t end, int64_t value) {  // its digits, to the left of `end`
    for (; value > 0; value /= 10) text[--end] = static_cast<char>('0' + value % 10);
  };
  put(4, parts.tm_year + 1900);  // 64 bits of nanoseconds hold years of four digits only
  put(7, parts.tm_mon + 1);
  put(10, parts.tm_mday);
  put(13, parts.tm_hour);
  put(16, parts.tm_min);
  put(19, parts.tm_sec);
  put(26, ns / 1000);
  return text;
}

Result<int64_t> parse_rfc3339(std::string_view text) {
  const auto bad = [text] {
    return error(Errc::invalid, "'%s' is not a time such as 2026-01-31T23:59:59Z",
                 printable(text.substr(0, 64)).c_str());
  };
  Scanner scan(text);
  tm parts{};
  int year = 0;
  int month = 0;
  // The years are those that 64 bits of nanoseconds hold.
  if (!scan.number(4, 1678, 2261, year) || !scan.one_of("-") || !scan.number(2, 1, 12, month) ||
      !scan.one_of("-") || !scan.number(2, 1, days_in(year, month), parts.tm_mday) ||
      !scan.one_of("Tt ") || !scan.number(2, 0, 23, parts.tm_hour) || !scan.one_of(":") ||
      !scan.number(2, 0, 59, parts.tm_min) || !scan.one_of(":") ||
      !scan.number(2, 0, 60, parts.tm_sec))  // 60: a leap second
    return bad();
  int64_t ns = 0;
  if (scan.one_of(".") && !scan.fraction(ns)) return bad();
  int offset = 0;
  if (!scan.one_of("Zz+-")) return bad();
  if (const char sign = scan.taken(); sign == '+' || sign == '-') {
    int hours = 0;
    int minutes = 0;
    if (!scan.number(2, 0, 23, hours) || !scan.one_of(":") || !scan.number(2, 0, 59, minutes))
      return bad();
    offset = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
  }
  if (!scan.at_end()) return bad();
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  return (static_cast<int64_t>(timegm(&parts)) - offset) * ns_per_second + ns;
}

}  // namespace moat
