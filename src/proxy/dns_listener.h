// DnsListener: questions over UDP and TCP, to a NameService and back.
#pragma once

#include <list>
#include <memory>

#include "core/fd.h"
#include "core/loop.h"
#include "core/stream.h"
#include "proxy/name_service.h"

namespace moat::proxy {

class DnsListener {
 public:
  virtual ~DnsListener() = default;
};

// `fd` is a bound datagram socket. Answers leave from the address that was asked, whatever it was.
std::unique_ptr<DnsListener> make_dns_udp(Loop& loop, Fd fd, bool ipv6, NameService& service);
// `fd` is a listening socket (RFC 7766). At most 64 connections at once, of which each may idle for
// ten seconds; a newcomer takes the place of the oldest.
std::unique_ptr<DnsListener> make_dns_tcp(Loop& loop, Fd fd, NameService& service);

}  // namespace moat::proxy
