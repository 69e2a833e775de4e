// Http1Origin: a connection to an origin that speaks HTTP/1.1, one exchange at a time.
#pragma once

#include <memory>
#include <string>

#include "proxy/http1.h"
#include "proxy/link.h"
#include "proxy/sides.h"

namespace moat::proxy {

class Http1Origin final : public OriginSide, private Transport::Handler, private Http1Handler {
 public:
  Http1Origin(std::unique_ptr<Link> link, std::string address, const Http1Limits& limits);
  ~Http1Origin() override;

  void start(OriginSide::Handler& handler, const RequestHead& head, BodyLength length) override;
  void send_body(std::string_view bytes) override;
  void send_end(const Headers& trailers) override;
  void become_tunnel() override;
  void stop() override;
  [[nodiscard]] bool full() const override;
  void resume() override;
  [[nodiscard]] bool answered() const override { return answered_; }
  [[nodiscard]] bool reused() const override { return exchanges_ > 1; }
  [[nodiscard]] const std::string& address() const override { return address_; }
  [[nodiscard]] std::string version() const override {
    return minor_ >= 1 ? "HTTP/1.1" : "HTTP/1.0";
  }
  [[nodiscard]] bool reusable() const override;
  void park(std::function<void()> gone) override;

 private:
  void on_input(Transport& transport) override;
  void on_end(Transport& transport, bool clean) override;
  void on_drained(Transport& transport) override;
  void on_error(Transport& transport, const Error& error) override;

  Result<void> on_request(RequestHead head, BodyLength length) override;
  Result<void> on_response(ResponseHead head, BodyLength length) override;
  Result<void> on_body(std::string_view bytes) override;
  Result<void> on_trailers(Headers trailers) override;
  Result<void> on_message_end() override;

  Transport& transport() { return link_->transport(); }
  void read();
  void ended();
  void fail(const Error& error);
  void tell_gone();

  std::unique_ptr<Link> link_;
  std::string address_;
  Http1Reader reader_;
  OriginSide::Handler* handler_ = nullptr;  // of the exchange that is served
  std::function<void()> gone_;              // of the pool, while parked
  Headers trailers_;
  uint64_t exchanges_ = 0;
  int minor_ = 1;         // of the last response
  bool chunked_ = false;  // the request's body
  bool request_done_ = false;
  bool response_done_ = false;
  bool answered_ = false;
  bool keep_alive_ = false;  // the origin's word on it
  bool tunnel_ = false;
  bool stopped_ = false;
  bool ended_ = false;  // the origin's direction
  bool clean_ = false;  // and in good order
};

}  // namespace moat::proxy
