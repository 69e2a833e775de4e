#include "committer.h"

#include <algorithm>
#include <utility>

namespace moat {
namespace {

// Long enough to gather a burst, short enough that `moat logs -f` feels live.
constexpr Milliseconds shortest_delay{50};
// What a power cut may cost.
constexpr Milliseconds longest_delay{1000};
constexpr Milliseconds settle_delay{500};
// The loop stands still for a commit, or for as long as it takes to fork for one. It does so for
// this part of the time, so that few requests meet it.
constexpr int still_share = 200;
// A process of its own costs some 2 ms of computing, and is worth that where there is much to be
// written, or the disk is slow. There is one for this part of the time, unless very much waits.
constexpr int forked_share = 10;
constexpr size_t much = size_t{64} * 1024;
constexpr int64_t slow_ns = 2'000'000;         // a commit of little
constexpr int64_t slow_forked_ns = 6'000'000;  // with a process made for it
constexpr size_t in_a_hurry = size_t{2} * 1024 * 1024;

constexpr int64_t ns(Milliseconds time) {
  return std::chrono::nanoseconds(time).count();
}

}  // namespace

Committer::Committer(Loop& loop, const Clock& clock, store::RecordWriter& writer,
                     std::function<void()> gather, std::function<void(const Result<void>&)> done)
    : clock_(clock),
      loop_(loop),
      writer_(writer),
      gather_(std::move(gather)),
      done_(std::move(done)),
      timer_(
          loop, [this] { on_time(); }, Priority::background),
      settle_timer_(
          loop, [this] { writer_.settle(); }, Priority::background) {}

Committer::~Committer() = default;

void Committer::ask() {
  if (stopped_ || end_) return;  // on_end() looks for what has come since
  if (!hurry_ && !failed_ && writer_.pending_bytes() >= in_a_hurry) {
    hurry_ = true;
    timer_.start(Milliseconds(0));
  } else if (!timer_.running()) {
    const Milliseconds left{(not_before_ns_ - clock_.monotonic_ns()) / 1'000'000};
    timer_.start(std::max(left, shortest_delay));
  }
}

void Committer::on_time() {
  hurry_ = false;
  if (end_) return;
  gather_();
  if (!writer_.dirty()) {
    (void)tell({});  // the writer may have committed by itself
    return;
  }
  if ((slow_ || writer_.pending_bytes() >= much) && begin()) return;
  (void)commit_here();
}

bool Committer::begin() {
  begun_ns_ = clock_.monotonic_ns();
  const auto fd = writer_.begin_commit();
  if (!fd) return false;
  rest(begun_ns_ + (clock_.monotonic_ns() - begun_ns_) * still_share);
  end_.emplace(
      loop_, *fd, [this](Ready) { on_end(); }, Priority::background);
  end_->want(true, false);
  return true;
}

void Committer::on_end() {
  end_.reset();
  const auto done = writer_.end_commit();
  const int64_t now = clock_.monotonic_ns();
  slow_ = now - begun_ns_ > slow_forked_ns;
  rest(std::max(not_before_ns_, now + (now - begun_ns_) * forked_share));
  if (tell(done) && writer_.dirty()) ask();
}

Result<void> Committer::commit_here() {
  const int64_t before = clock_.monotonic_ns();
  const auto done = writer_.commit();
  const int64_t now = clock_.monotonic_ns();
  slow_ = now - before > slow_ns;
  rest(now + (now - before) * still_share);
  return tell(done);
}

Result<void> Committer::commit() {
  timer_.stop();
  hurry_ = false;
  end_.reset();
  gather_();
  return writer_.dirty() ? commit_here() : tell(writer_.end_commit());
}

void Committer::rest(int64_t until_ns) {
  const int64_t latest = clock_.monotonic_ns() + ns(longest_delay);
  not_before_ns_ = writer_.held_back() ? latest : std::min(until_ns, latest);
}

Result<void> Committer::tell(const Result<void>& done) {
  failed_ = !done;
  if (!stopped_) (failed_ ? timer_ : settle_timer_).start(failed_ ? longest_delay : settle_delay);
  done_(done);
  return done;
}

void Committer::stop() {
  stopped_ = true;
  timer_.stop();
  settle_timer_.stop();
  hurry_ = false;
}

}  // namespace moat
