#include <utility>

#include "anchor.h"
#include "core/fetch.h"
#include "core/text.h"
#include "core/timestamp.h"
#include "store/schema.h"

namespace moat {
namespace {

class TimestampAnchor final : public Anchor {
 public:
  TimestampAnchor(Loop& loop, std::string url, ReadVariable environment, Milliseconds limit,
                  OnStamp on_stamp)
      : fetcher_(loop),
        url_(std::move(url)),
        environment_(std::move(environment)),
        limit_(limit),
        on_stamp_(std::move(on_stamp)) {}

  [[nodiscard]] std::string name() const override {
    return "timestamp " + printable(url_.substr(0, url_.find_first_of("?#")));
  }
  void take(const std::string& /*run*/, const store::SignedHead& head, Done done) override {
    const TimestampRequest asked = timestamp_request(sha256(head.note));
    FetchRequest request;
    request.method = "POST";
    request.url = url_;
    request.headers = {{"Content-Type", timestamp_query_type}};
    request.body = asked.der;
    request.environment = environment_;
    request.limit = limit_;
    request.max_body = store::max_timestamp;
    fetcher_.fetch(std::move(request), [this, asked, size = head.head.size, done = std::move(done)](
                                           const Result<FetchResponse>& response) {
      const auto stamped = judge(asked, response);
      if (stamped) on_stamp_(size, response->body);
      done(stamped);
    });
  }

 private:
  static Result<void> judge(const TimestampRequest& asked, const Result<FetchResponse>& response) {
    constexpr int ok = 200;
    if (!response) return response.error();
    if (response->status != ok)
      return error(Errc::refused, "it answers with status %d of HTTP", response->status);
    const auto stamp = check_timestamp(response->body, asked);
    return stamp ? Result<void>() : stamp.error();
  }

  Fetcher fetcher_;
  std::string url_;
  ReadVariable environment_;
  Milliseconds limit_;
  OnStamp on_stamp_;
};

}  // namespace

std::unique_ptr<Anchor> make_timestamp_anchor(Loop& loop, std::string url, ReadVariable environment,
                                              Milliseconds limit, OnStamp on_stamp) {
  return std::make_unique<TimestampAnchor>(loop, std::move(url), std::move(environment), limit,
                                           std::move(on_stamp));
}

}  // namespace moat
