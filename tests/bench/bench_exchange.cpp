// What one small exchange on kept-alive connections costs, without TLS: time and allocations,
// beside the same peers without the proxy in between.
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "../proxy/wall.h"

namespace {

size_t allocations = 0;

}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  free(memory);
}

namespace {

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;
using Clock = std::chrono::steady_clock;

constexpr int warm = 500;
constexpr int counted = 20'000;

struct Cost {
  double microseconds = 0;
  double allocations = 0;
};

Cost measure(Wall& wall, Peer& agent, const std::string& request) {
  const auto exchange = [&] {
    agent.received.clear();
    agent.say(request);
    while (!agent.has("\r\n\r\nok") && !agent.gone()) wall.loop.turn(Milliseconds(1000));
    wall.recorder.exchanges.clear();
    wall.origin.requests.clear();
  };
  for (int i = 0; i < warm; ++i) exchange();
  const size_t before = allocations;
  const auto start = Clock::now();
  for (int i = 0; i < counted; ++i) exchange();
  const std::chrono::duration<double, std::micro> took = Clock::now() - start;
  if (agent.gone()) printf("the connection has ended\n");
  return {took.count() / counted, static_cast<double>(allocations - before) / counted};
}

void print(const char* what, const Cost& cost, const Cost& direct) {
  printf("%-24s %7.1f us, %6.1f allocations; above direct %7.1f us, %6.1f\n", what,
         cost.microseconds, cost.allocations, cost.microseconds - direct.microseconds,
         cost.allocations - direct.allocations);
}

Fd connect_to(uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    perror("bench_exchange: connect");
    exit(1);
  }
  return fd;
}

}  // namespace

int main() {
  const std::string bare = "GET /a/path?q=1 HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
  const std::string full =
      "GET /repos/owner/name/issues?state=open HTTP/1.1\r\nHost: api.example.com\r\n"
      "User-Agent: some-agent/1.2.3 (linux; x86_64)\r\nAccept: application/vnd.github+json\r\n"
      "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nConnection: keep-alive\r\n"
      "X-GitHub-Api-Version: 2022-11-28\r\nAuthorization: Bearer placeholder-0123456789\r\n\r\n";
  Wall wall;
  wall.origin.answers = {
      "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nServer: origin\r\n"
      "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: \"0123456789abcdef\"\r\n"
      "Cache-Control: private, max-age=60\r\nContent-Length: 2\r\n\r\nok"};
  Peer straight(wall.loop, connect_to(wall.origin.port));
  const Cost direct = measure(wall, straight, full);
  print("direct", direct, direct);
  Peer& agent = wall.connect("api.example.com", 80);
  print("HTTP/1.1, one header", measure(wall, agent, bare), direct);
  print("HTTP/1.1, eight headers", measure(wall, agent, full), direct);
  return 0;
}
