#include "aws_keeper.h"

#include <algorithm>
#include <utility>

namespace moat {
namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr int64_t refresh_before_ns = 300 * second_ns;
constexpr int64_t try_again_ns = 15 * second_ns;
constexpr Milliseconds look_every{10'000};

}  // namespace

AwsKeeper::AwsKeeper(Loop& loop, std::shared_ptr<proxy::AwsSigner> signer, std::string what,
                     Ask ask, int64_t expires_ns, const Clock& clock)
    : clock_(clock),
      signer_(std::move(signer)),
      what_(std::move(what)),
      expires_ns_(expires_ns),
      next_(loop, [this] { look(); }),
      ask_(std::move(ask)) {
  if (expires_ns_ > clock_.wall_ns()) renew_before_the_end();
  next_.start(Milliseconds(0));
}

// Of keys that are good for a moment only, after half of it.
void AwsKeeper::renew_before_the_end() {
  const int64_t now = clock_.wall_ns();
  const int64_t left = expires_ns_ - now;
  renew_ns_ = now + std::max({left - refresh_before_ns, left / 2, second_ns});
}

// Looks often at the clock on the wall, for timers stand still while the machine sleeps.
void AwsKeeper::look() {
  const int64_t left = (renew_ns_ - clock_.wall_ns()) / 1'000'000;
  if (left > 0) return next_.start(std::min(Milliseconds(left + 1), look_every));
  ask_([this](Result<TemporaryAwsKeys> answer) { on_answer(std::move(answer)); });
}

void AwsKeeper::on_answer(Result<TemporaryAwsKeys> answer) {
  const int64_t now = clock_.wall_ns();
  if (answer && answer->expires_ns > now) {
    expires_ns_ = answer->expires_ns;
    signer_->set_keys(std::move(answer->keys));
    renew_before_the_end();
  } else {
    const Error why = answer ? error(Errc::invalid, "the new keys have expired") : answer.error();
    // However that failed, it is not the agent's doing.
    if (expires_ns_ <= now)
      signer_->set_failure(error(Errc::io, "%s: %s", what_.c_str(), why.message.c_str()));
    renew_ns_ = now + try_again_ns;
    if (expires_ns_ > now) renew_ns_ = std::min(renew_ns_, expires_ns_);
  }
  next_.start(Milliseconds(1));  // not from here, where whoever was asked is calling
}

}  // namespace moat
