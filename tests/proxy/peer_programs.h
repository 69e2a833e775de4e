// TLS programs of other libraries, as agents that connect to us and as origins that we connect to.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "core/fd.h"
#include "tls_world.h"

namespace moat::proxy {

struct Suite {
  const char* openssl;
  const char* gnutls;
  const char* nss;
};
constexpr Suite suites[] = {
    {"ECDHE-ECDSA-AES128-GCM-SHA256", "AES-128-GCM", ":C02B"},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", "AES-256-GCM", ":C02C"},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20-POLY1305", ":CCA9"},
};

// Each in the order of `libraries`.
enum class Library { openssl, gnutls, nss };
constexpr Library libraries[] = {Library::openssl, Library::gnutls, Library::nss};

inline const char* program_of(Library library, bool agent) {
  switch (library) {
    case Library::openssl:
      return "openssl";
    case Library::gnutls:
      return agent ? "gnutls-cli" : "gnutls-serv";
    default:
      return agent ? "tstclnt" : "selfserv";
  }
}

inline std::string gnutls_priority(const Suite& suite) {
  return std::string(" --priority NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+") + suite.gnutls;
}

// One that trusts ca.pem (NSS: the database nss/), sends its standard input and prints what comes.
inline std::string agent_command(Library library, const Suite& suite, uint16_t port) {
  const std::string number = std::to_string(port);
  switch (library) {
    case Library::openssl:
      return "openssl s_client -quiet -ign_eof -tls1_2 -x509_strict -verify_return_error -cipher " +
             std::string(suite.openssl) +
             " -CAfile ca.pem -verify_hostname api.example.com -servername api.example.com "
             "-connect 127.0.0.1:" +
             number;
    case Library::gnutls:
      return "gnutls-cli --x509cafile ca.pem --sni-hostname=api.example.com "
             "--verify-hostname=api.example.com -p " +
             number + " 127.0.0.1" + gnutls_priority(suite);
    default:
      return "tstclnt -d sql:nss -h 127.0.0.1 -p " + number +
             " -a api.example.com -V tls1.2:tls1.2 -c " + suite.nss;
  }
}

// One that shows server.pem and answers each line.
inline std::string origin_command(Library library, const Suite& suite, uint16_t port) {
  const std::string number = std::to_string(port);
  switch (library) {
    case Library::openssl:
      return "openssl s_server -accept 127.0.0.1:" + number +
             " -cert server.pem -key server.key -rev -quiet -tls1_2 -cipher " + suite.openssl;
    case Library::gnutls:
      return "gnutls-serv --quiet --echo -p " + number +
             " --x509certfile server.pem --x509keyfile server.key" + gnutls_priority(suite);
    default:
      return "selfserv -d sql:nss -n server -V tls1.2:tls1.2 -p " + number + " -c " + suite.nss;
  }
}

// A root and a server certificate of OpenSSL's own making, and NSS's database of them.
inline std::string make_certificate(const std::string& new_key) {
  return "openssl req -x509 -newkey " + new_key +
         " -nodes -keyout root.key -out root.pem -days 2 -subj /CN=root "
         "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign && "
         "openssl req -newkey " +
         new_key +
         " -nodes -keyout server.key -out server.csr -subj /CN=server && "
         "printf 'subjectAltName=DNS:*.example.com,IP:127.0.0.1\\n' > san && "
         "openssl x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1 "
         "-extfile san -out server.pem";
}
inline constexpr const char* make_nss_agent =
    "mkdir nss && certutil -N -d sql:nss --empty-password && "
    "certutil -A -n ca -t C,, -i ca.pem -d sql:nss";
inline constexpr const char* make_nss_origin =
    "mkdir nss && certutil -N -d sql:nss --empty-password && "
    "openssl pkcs12 -export -in server.pem -inkey server.key -name server -out server.p12 "
    "-passout pass:x && pk12util -i server.p12 -d sql:nss -W x -K ''";

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A socket that listens at a port of the kernel's choice, and the port.
inline Fd listen_anywhere(uint16_t& port) {
  Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener.get(), 8) != 0 ||
      getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("listen");
  port = ntohs(address.sin_port);
  return listener;
}

inline Fd accept_from(const Fd& listener) {
  Fd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) throw std::runtime_error("accept");
  return fd;
}

// To a program that takes a moment to listen.
inline Fd connect_to(uint16_t port) {
  for (int i = 0; i < 1000; ++i) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(port);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        set_non_blocking(fd.get()))
      return fd;
    usleep(10'000);
  }
  throw std::runtime_error("the origin does not listen");
}

// A command of the shell's in a directory, from here to its destructor. Its standard input brings
// `line` and does not end; without a line there is none.
class Program {
 public:
  Program(const std::string& directory, const std::string& command, const std::string& line = "") {
    const std::string input = line.empty()
                                  ? "exec </dev/null"
                                  : "rm -f in && mkfifo in && exec <>in && echo '" + line + "' >&0";
    const std::string whole = "cd '" + directory + "' && " + input + " && exec " + command;
    child_ = fork();
    if (child_ == 0) {
      setpgid(0, 0);
      execl("/bin/sh", "sh", "-c", whole.c_str(), nullptr);
      _exit(127);
    }
  }
  ~Program() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  void wait() {
    waitpid(child_, nullptr, 0);
    child_ = -1;
  }

 private:
  pid_t child_ = -1;
};

}  // namespace moat::proxy
