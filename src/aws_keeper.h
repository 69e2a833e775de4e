// AwsKeeper: keeps a signer in keys that end, for as long as it lives.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/clock.h"
#include "core/loop.h"
#include "core/result.h"
#include "proxy/aws_signer.h"

namespace moat {

struct TemporaryAwsKeys {
  proxy::AwsKeys keys;
  int64_t expires_ns = 0;  // on the wall clock
};

class AwsKeeper {
 public:
  // Asks for keys; calls back once, from the loop, unless it is destroyed first.
  using Ask = std::function<void(std::function<void(Result<TemporaryAwsKeys>)>)>;

  // `expires_ns`: of the keys that the signer has already; 0: it has none. New ones are asked for
  // in good time before. Where that fails it is tried again, and once there are no good keys left,
  // the signer is told that `what` ("the role … cannot be assumed") and why.
  AwsKeeper(Loop& loop, std::shared_ptr<proxy::AwsSigner> signer, std::string what, Ask ask,
            int64_t expires_ns = 0, const Clock& clock = system_clock());
  AwsKeeper(const AwsKeeper&) = delete;
  AwsKeeper& operator=(const AwsKeeper&) = delete;

 private:
  void look();
  void renew_before_the_end();
  void on_answer(Result<TemporaryAwsKeys> answer);

  const Clock& clock_;
  std::shared_ptr<proxy::AwsSigner> signer_;
  std::string what_;
  int64_t expires_ns_;
  int64_t renew_ns_ = 0;  // when the next are due, by the wall clock
  Timer next_;
  Ask ask_;  // the last, and so the first to go: it may be about to call us
};

}  // namespace moat
