// Link: a Transport whose owner changes: first the one who opens it, then the one who speaks
// through it.
#pragma once

#include <utility>

#include "core/fd.h"
#include "core/loop.h"
#include "proxy/transport.h"

namespace moat::proxy {

class Link final : public Transport::Handler {
 public:
  Link(Loop& loop, Fd fd, Transport::Handler& user, Stream::Limits limits)
      : user_(&user), transport_(loop, std::move(fd), *this, limits) {}
  Transport& transport() { return transport_; }
  void set_user(Transport::Handler& user) { user_ = &user; }

 private:
  void on_ready(Transport& transport) override { user_->on_ready(transport); }
  void on_input(Transport& transport) override { user_->on_input(transport); }
  void on_end(Transport& transport, bool clean) override { user_->on_end(transport, clean); }
  void on_drained(Transport& transport) override { user_->on_drained(transport); }
  void on_error(Transport& transport, const Error& error) override {
    user_->on_error(transport, error);
  }

  Transport::Handler* user_;
  Transport transport_;
};

}  // namespace moat::proxy
