// Transport: plain bytes over a socket, with TLS or without. Whoever speaks HTTP through it cannot
// tell which.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/stream.h"
#include "proxy/tls.h"

namespace moat::proxy {

class Transport : private Stream::Handler {
 public:
  // All of them may destroy the Transport.
  struct Handler {
    virtual ~Handler() = default;
    virtual void on_ready(Transport&) {}    // TLS is established (or at once, from the loop,
                                            // where there is none)
    virtual void on_input(Transport&) = 0;  // input() has grown
    virtual void on_end(Transport&, bool clean) = 0;  // clean: TLS close_notify came, or no TLS
    virtual void on_drained(Transport&) = 0;          // no longer full()
    virtual void on_error(Transport&, const Error& error) = 0;
  };

  // Plain, to begin with.
  Transport(Loop& loop, Fd fd, Handler& handler, Stream::Limits limits);
  ~Transport() override;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // From here on, what is in input() and what follows is TLS. (Bytes that were peeked at stay in
  // input() and go to the session first.) For a client session this sends the ClientHello.
  void start_tls(std::unique_ptr<TlsSession> session);

  [[nodiscard]] std::string_view input() const;
  void consume(size_t count);
  // With TLS, what is written in a callback leaves when the outermost callback has returned, in
  // one piece; at other times at once.
  void write(std::string_view plain);
  [[nodiscard]] bool full() const;
  [[nodiscard]] bool flushed();  // nothing waits to be sent, and nothing for a callback's end
  void pause_reading();
  void resume_reading();
  void end_writing();  // close_notify first, where there is TLS
  // As a connection that was cut off looks: what is queued leaves, then the socket's direction
  // ends, without close_notify.
  void cut_writing();
  void close();  // at once; twice is fine
  void reset();  // TCP RST
  [[nodiscard]] bool closed() const;
  [[nodiscard]] const TlsSession* tls() const { return tls_.get(); }
  [[nodiscard]] int fd() const;

 private:
  class Turn;
  void on_input(Stream&) override;
  size_t on_bytes(Stream&, char* bytes, size_t size) override;
  void on_end(Stream&) override;
  void on_drained(Stream&) override;
  void on_error(Stream&, const Error& error) override;
  void pump();
  void pump_later();
  size_t open_all(char* bytes, size_t size);
  bool open_some(char* bytes, size_t size, size_t& taken);
  bool tell_opened();
  void keep_lent();
  bool tell_input();
  bool tell_ready();
  void tell_end(bool clean);
  void fail(const Error& error);
  void fail_later(Error error);
  void send_cipher();
  void flush();
  [[nodiscard]] bool quiet() const { return closed() || failed_ || ended_; }

  Loop& loop_;
  Handler& handler_;
  std::shared_ptr<Transport*> self_;  // null inside once we are gone: what was deferred looks there
  size_t input_limit_;
  std::unique_ptr<TlsSession> tls_;
  Stream stream_;
  std::string_view lent_;  // plain text where it was opened, until open_some() returns
  bool unsent_ = false;    // in the list of those that the end of the turn flushes
  bool paused_ = false;
  bool pumping_ = false;  // pump() is deferred
  bool ready_told_ = false;
  bool input_untold_ = false;  // plain bytes came while the owner had paused
  bool socket_ended_ = false;
  bool ended_ = false;   // told
  bool failed_ = false;  // told, or about to be
};

}  // namespace moat::proxy
